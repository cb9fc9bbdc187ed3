#!/bin/bash
# Produces events, lets Airflow carry them through, and counts them hop by hop: every count must be the same.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"
source "$(dirname "$0")/jobs.sh"

count=${CHECK_EVENTS:-100000}

in_raw() {
  sql "select (select count(*) from raw.log_event join ops.load_file using (load_id) where topic = '$topic'),
              (select count(*) from raw.reject join ops.load_file using (load_id) where topic = '$topic')"
}
in_star() {   # events of this topic alone: tests bring others
  sql "with received as (select event_id, count(*) as times from raw.log_event join ops.load_file using (load_id)
                         where topic = '$topic' group by event_id)
       select count(fact.event_id), coalesce(sum(times - 1), 0) from received left join marts.fact_event as fact using (event_id)"
}

cassandra_has() { [[ $(in_cassandra) == "$1" ]]; }
cassandra_settled() {   # the same twice: what was sent before is written
  local before
  before=$(in_cassandra)
  sleep 2
  cassandra_has "$before"
}

in_stores() {   # of each hop in turn: the chain; rows, rejects; events and duplicates of the star
  local in_raw in_star
  in_raw=$(in_raw)
  in_star=$(in_star)
  echo "$(in_hdfs) $in_raw $in_star"
}
run_dag() {
  docker exec -i -e AIRFLOW_USERNAME -e AIRFLOW_PASSWORD "$(container airflow-scheduler)" \
    python - batch_hdfs_to_postgres 900 < integration/up/trigger_dag.py ||
    fail 'The DAG run failed: its log is in the Airflow UI, http://localhost:8082'
}

# The low-rate service would move the totals while they are counted.
compose stop produce > /dev/null 2>&1 || true

kafka_before=$(in_kafka)
hdfs_before=0 rows_before=0 rejects_before=0 facts_before=0 duplicates_before=0
if ((kafka_before > 0)) || [[ $(sql "select to_regclass('marts.fact_event') is null") == f ]]; then
  step 'bringing what was sent before to the star: DAG batch_hdfs_to_postgres'
  run_dag
  read -r hdfs_before rows_before rejects_before facts_before duplicates_before <<< "$(in_stores)"
fi
eventually 60 'stream has written what was sent before' cassandra_settled
cassandra_before=$(in_cassandra)

step "producing $count events"
produced=$(job produce --count "$count" --seed "$(date +%s)" | field acked)
eventually 120 "stream has written $produced more records to Cassandra" cassandra_has "$((cassandra_before + produced))"

step 'running the DAG batch_hdfs_to_postgres'
run_dag

step 'counting'
kafka=$(in_kafka)
cassandra=$(in_cassandra)
read -r hdfs rows rejects facts duplicates <<< "$(in_stores)"
printf '\n  %-34s %12s %12s\n' hop 'this run' 'in all'
hop() { printf '  %-34s %12d %12d\n' "$1" "$(($3 - $2))" "$3"; }
printf '  %-34s %12d\n' produced "$produced"
hop 'Kafka' "$kafka_before" "$kafka"
hop 'Cassandra, events and rejects' "$cassandra_before" "$cassandra"
hop 'HDFS, records in the chain' "$hdfs_before" "$hdfs"
hop 'PostgreSQL, rows' "$rows_before" "$rows"
hop 'PostgreSQL, rejects' "$rejects_before" "$rejects"
hop 'star, events' "$facts_before" "$facts"
hop 'star, duplicates taken out' "$duplicates_before" "$duplicates"
echo
new_rows=$((rows - rows_before))
((produced == count && kafka - kafka_before == produced && cassandra - cassandra_before == produced &&
  hdfs - hdfs_before == produced && new_rows + rejects - rejects_before == produced &&
  facts - facts_before + duplicates - duplicates_before == new_rows)) ||
  fail 'The counts of this run differ: see above. If others send to the topic meanwhile, that is why.'
step 'every hop has the same events'
