#!/usr/bin/env bash
# Makes what a deployment keeps secret: a CA and Redis' certificate, one password per Redis user, Redis' ACL file, and
# the tokens of Ray and Grafana. What is there already is kept, so that runs can be added later.
#
# Use: docker/make-secrets.sh FOLDER HOSTS RUN...
#   FOLDER  is made; only its owner can enter it
#   HOSTS   names and addresses under which clients reach Redis, with commas: redis,10.0.0.5
#   RUN     names of the runs, as in `distill run --name RUN`
# It needs openssl and the checkout's .venv, or another Python with this project's packages in PYTHON.
set -euo pipefail
umask 077
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if (($# < 3)); then
  sed -n '5,8s/^# //p' "$0" >&2
  exit 2
fi
folder=$1 hosts=$2
shift 2
mkdir -p "$folder/passwords"

new_secret() { # no newline: some readers take it for a part of the secret
  [ -s "$1" ] || openssl rand -hex 32 | tr -d '\n' >"$1"
}

new_secret "$folder/auth_token"
new_secret "$folder/grafana_password"
new_secret "$folder/passwords/operator"
for run in "$@"; do
  new_secret "$folder/passwords/$run-actor"
  new_secret "$folder/passwords/$run-learner"
done

# The key of the CA stays in this folder: whoever has it can pass for Redis.
if [ ! -s "$folder/ca.crt" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj '/CN=distill CA' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
    -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>/dev/null
fi
if [ ! -s "$folder/redis.crt" ]; then
  names=
  for host in ${hosts//,/ }; do
    if [[ $host =~ ^[0-9.]+$|: ]]; then names+=",IP:$host"; else names+=",DNS:$host"; fi
  done
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=distill Redis' \
    -keyout "$folder/redis.key" -out "$folder/redis.csr" 2>/dev/null
  openssl x509 -req -in "$folder/redis.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days 825 \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names#,}") \
    -out "$folder/redis.crt" 2>/dev/null
  rm "$folder/redis.csr"
fi

# All runs that have passwords, the earlier ones too.
runs=()
for file in "$folder"/passwords/*-learner; do
  name=$(basename "$file")
  runs+=(--run "${name%-learner}")
done
acl=$(PYTHONPATH=$root "${PYTHON:-$root/.venv/bin/python}" -m cluster.redis.acl --secrets "$folder/passwords" "${runs[@]}")
# Written in place: a container that has mounted this one file would not see a new file of that name.
printf '%s\n' "$acl" >"$folder/users.acl"
