#!/usr/bin/env bash
# Gives this mount namespace temporary folders, a /home and a user `distill` of its own. Arguments: see desk.sh.
set -euo pipefail
folder=$1
private=$folder/private

mount -t tmpfs tmpfs "$private"
places=(/run /home /dev/shm /tmp) # /tmp last, since the folder lies in it
for place in "${places[@]}"; do
  mkdir -p "$private$place"
  for path in "$@"; do
    if [[ $path == "$place"/* ]]; then
      mkdir -p "$private$path"
      mount --bind "$path" "$private$path"
    fi
  done
done
for place in "${places[@]}"; do
  mount --rbind "$private$place" "$place"
done
chmod 1777 /tmp /dev/shm

# As `useradd --create-home` does it. Its .profile reads .bashrc.
cp --recursive /etc/skel /home/distill
mount --bind "$folder/passwd" /etc/passwd
