# shellcheck shell=bash
# Sourced after settings.sh: tasks run by a script, and questions to PostgreSQL.

topic=LogEvents

# What tells a job where the servers are and how to log in there, where that is not what its image assumes.
passed_on=(KAFKA_BOOTSTRAP_SERVERS KAFKA_USERNAME KAFKA_PASSWORD KAFKA_CA POSTGRES_CA
  CASSANDRA_CONTACT_POINTS CASSANDRA_USERNAME CASSANDRA_PASSWORD)

# job TASK OPTION...: its summary on stdout; its log only if it fails
job() {
  local task=$1 log words=() name
  # shellcheck disable=SC2154   # of steps.sh
  log=$logs/$(basename "$0" .sh)-$task.log
  local -x POSTGRES_PASSWORD=$LOADER_PASSWORD   # named to docker, not shown to it: everyone sees a command line
  shift
  case $task in
    catalog | load) words=(--env POSTGRES_PASSWORD) ;;
    audit) POSTGRES_PASSWORD=$AUDITOR_PASSWORD words=(--env POSTGRES_PASSWORD) ;;
    maintain) POSTGRES_PASSWORD=$MAINTAINER_PASSWORD words=(--env POSTGRES_PASSWORD) ;;
    dbt) words=(--env TRANSFORMER_PASSWORD) ;;
  esac
  for name in "${passed_on[@]}"; do [[ -z ${!name:-} ]] || words+=(--env "$name"); done
  docker run --rm --network "$COMPOSE_PROJECT_NAME" --label com.ecomm-pipeline.job=1 "${words[@]}" \
    "ecomm-pipeline/$task:$PIPELINE_TAG" "$@" 2> "$log" ||
    { tail -n 5 "$log" >&2; fail "$task failed: see above${on_failure:+. $on_failure}"; }
}

# Fields of a row are separated by a space.
sql() { docker exec "$(container postgres)" psql --no-psqlrc -U airflow -d airflow -v ON_ERROR_STOP=1 -AtF ' ' -c "$1"; }
# field NAME: of the JSON on stdin. PostgreSQL reads it, whatever the host has.
field() { sql "select (\$json\$$(tail -n 1)\$json\$::json) ->> '$1'"; }

# kafka_tool NAME OPTION...: one of Kafka's own tools, beside a broker
kafka_tool() {
  local tool=$1
  shift
  docker exec "$(container "${kafka_beside:-kafka}")" env KAFKA_HEAP_OPTS=-Xmx128m "/opt/kafka/bin/kafka-$tool.sh" \
    --bootstrap-server "${KAFKA_ADMIN:-kafka:9092}" "$@"
}
# Records that the topic ever got.
in_kafka() { kafka_tool get-offsets --topic "$topic" | cut -d : -f 3 | total; }
in_hdfs() { job archive --inspect | field records; }   # records of the chain
total() { awk '{ sum += $1 } END { print sum + 0 }'; }

cql() {
  local id login=()
  id=$(container "${cassandra_beside:-cassandra}")
  if [[ -n ${CASSANDRA_USERNAME:-} ]]; then   # by file: a command line is everybody's to read
    printf '[PlainTextAuthProvider]\nusername = %s\npassword = %s\n' "$CASSANDRA_USERNAME" "$CASSANDRA_PASSWORD" |
      docker exec -i "$id" bash -c 'umask 077 && cat > /tmp/login'
    login=(--credentials /tmp/login)
  fi
  docker exec "$id" cqlsh --no-color --request-timeout=600 "${login[@]}" -e "$1"
}
# Events, duplicates and rejects in Cassandra: whatever metric counts each record once. Of all metrics they have the fewest rows, so
# they are asked for by partition.
in_cassandra() {
  local days metrics="'events', 'duplicates', 'rejects'"
  days=$(cql "${cql_first:-}select distinct metric, event_date from logs.ecomm_by_minute" 2> /dev/null |
    awk -F '|' '$1 ~ /^ *(events|duplicates|rejects) *$/ { gsub(/ /, "", $2); print "\047" $2 "\047" }' | sort -u | paste -sd ,) || return 1
  cql "${cql_first:-}select metric, event_date, sum(cnt) as records from logs.ecomm_by_minute
    where metric in ($metrics) and event_date in (${days:-'2000-01-01'}) group by metric, event_date" 2> /dev/null |
    awk -F '|' '$1 ~ /^ *(events|duplicates|rejects) *$/ { print $3 }' | total
}
