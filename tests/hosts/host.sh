#!/usr/bin/env bash
# The first process of a host: gives it folders of its own and an SSH server. Arguments: see desk.sh.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/private.sh" "$@"

mkdir /run/sshd
/usr/sbin/sshd -D -e -f "$1/sshd_config" &
# bash reaps the orphans of this host, Ray's daemons among them, while it waits.
wait
