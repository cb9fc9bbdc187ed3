#!/bin/bash
# Produces events, lets Airflow carry them through, and counts them hop by hop: every count must be the same.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"

count=${CHECK_EVENTS:-100000}
topic=LogEvents
network=$COMPOSE_PROJECT_NAME

# job TASK OPTION...: its summary on stdout; its log only if it fails
job() {
  local task=$1 log=$logs/check-$1.log
  shift
  docker run --rm --network "$network" --label com.ecomm-pipeline.job=1 "ecomm-pipeline/$task:$PIPELINE_TAG" "$@" 2> "$log" ||
    { tail -n 5 "$log" >&2; fail "$task failed: see above"; }
}
sql() { docker exec "$(container postgres)" psql --no-psqlrc -U airflow -d airflow -v ON_ERROR_STOP=1 -AtF ' ' -c "$1"; }
total() { awk '{ sum += $1 } END { print sum + 0 }'; }

in_kafka() {
  docker exec "$(container kafka)" env KAFKA_HEAP_OPTS=-Xmx128m /opt/kafka/bin/kafka-get-offsets.sh \
    --bootstrap-server kafka:9092 --topic "$topic" | cut -d : -f 3 | total
}
# field NAME: of the JSON on stdin. PostgreSQL reads it, whatever the host has.
field() { sql "select (\$json\$$(tail -n 1)\$json\$::json) ->> '$1'"; }
in_hdfs() { job archive --inspect | field records; }
in_raw() {
  sql "select (select count(*) from raw.log_event join ops.load_file using (load_id) where topic = '$topic'),
              (select count(*) from raw.reject join ops.load_file using (load_id) where topic = '$topic')"
}
in_star() {   # events of this topic alone: tests bring others
  sql "with received as (select event_id, count(*) as times from raw.log_event join ops.load_file using (load_id)
                         where topic = '$topic' group by event_id)
       select count(fact.event_id), coalesce(sum(times - 1), 0) from received left join marts.fact_event as fact using (event_id)"
}

cql() { docker exec "$(container cassandra)" cqlsh --no-color -e "$1" 2> /dev/null; }
in_cassandra() {   # events, duplicates, rejects: whatever metric counts each record once
  cql "select metric, event_date, sum(cnt) as records from logs.ecomm_by_minute group by metric, event_date" |
    awk -F '|' '$1 ~ /^ *(events|duplicates|rejects) *$/ { print $3 }' | total
}
cassandra_has() { [[ $(in_cassandra) == "$1" ]]; }
cassandra_settled() {   # the same twice: what was sent before is written
  local before
  before=$(in_cassandra)
  sleep 2
  cassandra_has "$before"
}

# The low-rate service would move the totals while they are counted.
compose stop produce > /dev/null 2>&1 || true

step "producing $count events"
kafka_before=$(in_kafka)
eventually 60 'stream has written what was sent before' cassandra_settled
cassandra_before=$(in_cassandra)
produced=$(job produce --count "$count" --seed "$(date +%s)" | field acked)

eventually 120 "stream has written $produced more records to Cassandra" cassandra_has "$((cassandra_before + produced))"

step 'running the DAG batch_hdfs_to_postgres'
docker exec -i -e AIRFLOW_USERNAME -e AIRFLOW_PASSWORD "$(container airflow-scheduler)" \
  python - batch_hdfs_to_postgres 900 < integration/up/trigger_dag.py ||
  fail 'The DAG run failed: its log is in the Airflow UI, http://localhost:8082'

step 'counting'
kafka=$(in_kafka)
hdfs=$(in_hdfs)
read -r rows rejects <<< "$(in_raw)"
read -r facts duplicates <<< "$(in_star)"
printf '\n  %-34s %12s\n' hop events
printf '  %-34s %12d\n' "produced (this run)" "$produced" \
  "Kafka, new in this run" "$((kafka - kafka_before))" \
  "Kafka, end offsets" "$kafka" \
  "Cassandra, new in this run" "$(($(in_cassandra) - cassandra_before))" \
  "HDFS, records in the chain" "$hdfs" \
  "PostgreSQL, rows" "$rows" \
  "PostgreSQL, rejects" "$rejects" \
  "PostgreSQL, rows + rejects" "$((rows + rejects))" \
  "star, events" "$facts" \
  "star, duplicates taken out" "$duplicates" \
  "star, events + duplicates + rejects" "$((facts + duplicates + rejects))"
echo
((produced == count && kafka - kafka_before == produced && hdfs == kafka && rows + rejects == kafka && facts + duplicates == rows)) ||
  fail 'The counts differ: see above.'
step 'every hop has the same events'
