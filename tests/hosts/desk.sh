#!/usr/bin/env bash
# The first process of the desk, the machine that a user sits at: it makes a bridge and three hosts behind it, says
# "ready", and ends with its standard input.
#
# It must be started by `unshare --mount --pid --fork --mount-proc --net`. Hosts are namespaces inside the desk's, so the
# kernel removes all of them, their processes, names and cables when this process ends, however it ends.
#
# Use: desk.sh FOLDER SHARED...
#   FOLDER  keys, sshd_config and passwd; what is private is mounted on FOLDER/private
#   SHARED  folders of the machine that all hosts see, even below a folder that is private
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/private.sh" "$@"

ip link set lo up
ip link add switch type bridge
ip address add 10.0.0.5/24 dev switch
ip link set switch up

for number in 1 2 3; do
  name=host$number
  ip netns add "$name"
  ip link add "to-$name" type veth peer name eth0 netns "$name"
  ip link set "to-$name" master switch up
  ip -n "$name" link set lo up
  ip -n "$name" address add "10.0.0.$number/24" dev eth0
  ip -n "$name" link set eth0 up
  # Ray takes 127.0.0.1 as its address where there is no default route.
  ip -n "$name" route add default via 10.0.0.5
  # `ray stop` ends all Ray processes that it sees, in whatever network: hence a host sees its own processes alone.
  ip netns exec "$name" unshare --mount --pid --fork --mount-proc "$here/host.sh" "$@" </dev/null >&2 &
done

echo ready
# Waiting inside bash, this process also reaps orphans, as the first process of a namespace must.
read -r _ || true
