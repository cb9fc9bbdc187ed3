# shellcheck shell=bash
# Sourced after steps.sh: .env, made from .env.example when there is none, as exported variables.

random() { head -c "$1" /dev/urandom | base64 -w 0 | tr '+/' '-_'; }
fill_in() { sed -i "s|^$1=\$|$1=$2|" .env; }

if [[ ! -e .env ]]; then
  step 'writing .env from .env.example'
  install -m 600 .env.example .env
  fill_in AIRFLOW_FERNET_KEY "$(random 32)"
  fill_in AIRFLOW_JWT_SECRET "$(random 64)"
  fill_in AIRFLOW_SECRET_KEY "$(random 32)"
  fill_in DOCKER_GID "$(stat -Lc %g /var/run/docker.sock)"
fi
set -a
source .env
set +a
