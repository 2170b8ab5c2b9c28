#!/usr/bin/env bash
# Installs the system as the image has it. The Dockerfile runs it; so can you, on machines without containers.
#
# Use: docker/install.sh system                     Debian packages; needs root
#      docker/install.sh packages FOLDER cpu|cuda   a virtual environment with the versions of docker/requirements.txt
#      docker/install.sh code FOLDER                this checkout, into that environment
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

install_system() {
  export DEBIAN_FRONTEND=noninteractive
  # redis-server: private servers and the shared one. wget, procps: KubeRay's probes, `ray stop`. ssh, rsync: a head node
  # that launches workers. No versions here: Debian keeps only the newest security update of its release.
  apt-get update
  apt-get install --yes --no-install-recommends ca-certificates openssh-client procps redis-server rsync wget
  rm -rf /var/lib/apt/lists/*
}

install_packages() { # folder, variant
  "${PYTHON:-python3}" -m venv "$1"
  if [ "$2" = cpu ]; then
    # PyPI's PyTorch brings 3 GB of CUDA libraries along; this one does not.
    "$1/bin/pip" install --no-deps --index-url https://download.pytorch.org/whl/cpu \
      "$(grep '^torch==' "$here/requirements.txt")"
  fi
  "$1/bin/pip" install --requirement "$here/requirements.txt"
}

install_code() { # folder
  "$1/bin/pip" install --no-deps "$here/.."
  "$1/bin/pip" check
  "$1/bin/distill" --help >/dev/null
}

case "${1-} $# ${3-}" in
  "system 1 ") install_system ;;
  "packages 3 cpu" | "packages 3 cuda") install_packages "$2" "$3" ;;
  "code 2 ") install_code "$2" ;;
  *)
    sed -n '4,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac
