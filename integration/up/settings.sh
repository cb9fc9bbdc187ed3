# shellcheck shell=bash
# Sourced after steps.sh: .env as exported variables. It is made from .env.example when there is none, and gets what a newer
# .env.example has and it has not.

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
[[ -z $(tail -c 1 .env) ]] || echo >> .env   # a last line without its end would swallow the next
while IFS= read -r line; do
  grep -q "^${line%%=*}=" .env || { step "adding ${line%%=*} to .env" && printf '%s\n' "$line" >> .env; }
done < <(grep -E '^[A-Z_]+=' .env.example)
set -a
source .env
set +a
