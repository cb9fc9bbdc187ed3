# shellcheck shell=bash
# Sourced after steps.sh: .env as exported variables, and its secrets as files. It is made from .env.example when there is none, and gets what a newer
# .env.example has and it has not.

random() { head -c "$1" /dev/urandom | base64 -w 0 | tr '+/' '-_'; }
fill_in() { sed -i "s|^$1=\$|$1=$2|" .env; }

if [[ ! -e .env ]]; then
  step 'writing .env from .env.example'
  install -m 600 .env.example .env
fi
[[ -z $(tail -c 1 .env) ]] || echo >> .env   # a last line without its end would swallow the next
while IFS= read -r line; do
  grep -q "^${line%%=*}=" .env || { step "adding ${line%%=*} to .env" && printf '%s\n' "$line" >> .env; }
done < <(grep -E '^[A-Z_]+=' .env.example)
# only what is empty, as in a copy of .env.example
fill_in AIRFLOW_FERNET_KEY "$(random 32)"
fill_in AIRFLOW_JWT_SECRET "$(random 64)"
fill_in AIRFLOW_SECRET_KEY "$(random 32)"
sed -i "s/^DOCKER_GID=.*/DOCKER_GID=$(stat -Lc %g /var/run/docker.sock)/" .env   # another engine, another group
set -a
source .env
set +a

# The same as files, one each, for what takes its secrets so. The containers' users differ, so all may read a file, and
# nobody but the owner gets into the folder. Written in place: a container that has one mounted sees it change.
install -d -m 700 .secrets
keep() {
  local file=.secrets/$1
  if [[ ! -e $file || $(< "$file") != "$2" ]]; then
    (umask 077 && touch "$file")
    chmod u+w "$file"
    printf %s "$2" > "$file"   # without an end of line: Airflow would take it for a part
  fi
  chmod 444 "$file"
}
for name in {POSTGRES,LOADER,AUDITOR,TRANSFORMER,MAINTAINER,BI_READER,AIRFLOW_META,AIRFLOW}_PASSWORD AIRFLOW_{FERNET_KEY,JWT_SECRET,SECRET_KEY}; do
  keep "$name" "${!name}"
done
keep AIRFLOW_META_URL "postgresql+psycopg2://airflow_meta:$AIRFLOW_META_PASSWORD@postgres:5432/airflow_meta"
if [[ ${COMPOSE_FILE:-} == *docker-compose.secure.yaml* ]]; then source integration/up/secure.sh; fi
