#!/bin/bash
# make rebuild [YES=1]: empties PostgreSQL's raw tables and Cassandra's tables and fills them again from the raw files on HDFS,
# which alone are enough; the star is built anew. Counts and digests are taken before and after, and have to be the same.
# What fails in the middle leaves `stream` and the generator stopped and the DAGs paused: run it again.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"
source "$(dirname "$0")/jobs.sh"

on_failure='Mend it, then: make rebuild'
dags=(batch_hdfs_to_postgres replay_rejects backfill produce_events)
tables=(ecomm_log ecomm_by_minute rejected_log)

airflow() { docker exec "$(container airflow-scheduler)" airflow "$@" 2> /dev/null; }
in_airflow() { docker exec "$(container postgres)" psql --no-psqlrc -U airflow -d airflow_meta -v ON_ERROR_STOP=1 -At -c "$1"; }
# A paused DAG starts no task; those under way end.
no_jobs() {
  [[ $(in_airflow "select count(*) from task_instance where state in ('queued', 'running')") == 0 ]] &&
    ! docker ps --quiet --filter label=com.ecomm-pipeline.job=1 --filter "network=$COMPOSE_PROJECT_NAME" | grep -q .
}

# Rows without what a second load gives anew, whatever their order.
digest() {
  sql "select count(*) || ' ' || coalesce(sum(hashtextextended((to_jsonb(row_of) - 'load_id' - 'loaded_at')::text, 0)), 0)
       from $1 as row_of"
}
# Every row of a table in Cassandra, sorted; its pages come in the order of tokens, which is the same each time anyway.
cassandra_digest() {
  local rows
  rows=$(mktemp)
  cql "copy logs.$1 to stdout" 2> /dev/null | tr -d '\r' | sed -E '/^(WARNING: cqlsh .*)?$/d' | LC_ALL=C sort > "$rows"
  printf '%d %s\n' "$(wc -l < "$rows")" "$(md5sum < "$rows" | cut -c 1-16)"
  rm -f "$rows"
}
take_stock() {
  local table
  for table in raw.log_event raw.reject ops.load_file marts.fact_event marts.fact_order; do
    printf '%s %s\n' "$table" "$(digest "$table")"
  done
  for table in "${tables[@]}"; do printf 'logs.%s %s\n' "$table" "$(cassandra_digest "$table")"; done
}

lag() {   # records that the group has not committed
  kafka_tool consumer-groups --describe --group stream 2> /dev/null |
    awk -v topic="$topic" '$2 == topic { sum += $6 } END { print (NR ? sum + 0 : "unknown") }'
}
stream_is_level() { [[ $(lag) == 0 ]]; }

if [[ ${YES:-} != 1 ]]; then
  echo 'This empties the PostgreSQL tables raw.log_event and raw.reject, their ledger and the Cassandra tables, and fills them'
  echo 'again from the raw files on HDFS. Reports go on reading the star as it is until the new one is built.'
  read -r -p 'Go on? [y/N] ' answer || answer=
  [[ $answer == [yY]* ]] || fail 'Nothing was done.'
fi

step 'standing still: the generator, the DAGs'
was_producing=$(docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
  --filter label=com.docker.compose.service=produce)
compose stop produce > /dev/null 2>&1 || true
names=$(IFS='|'; echo "${dags[*]}")
# those that somebody paused stay paused
active=$(in_airflow "select coalesce(string_agg(dag_id, '|'), '') from dag where not is_paused and dag_id = any('{${names//|/,}}')")
airflow dags pause --yes --treat-dag-id-as-regex "^($names)\$" > /dev/null
eventually 900 'the jobs that run have ended' no_jobs

step 'bringing every store level'
compose start stream > /dev/null 2>&1
eventually 300 'stream has written what was sent' stream_is_level
compose stop stream > /dev/null 2>&1
job archive > /dev/null
job load > /dev/null
job dbt > /dev/null
inspected=$(job archive --inspect)
records=$(field records <<< "$inspected")
epoch=$(sql "select coalesce(max((chain ->> 'epoch')::int), 0)
             from json_array_elements(\$json\$$(tail -n 1 <<< "$inspected")\$json\$::json -> 'chains') as chain")

# What a run that failed in the middle had counted is compared, not what it left behind.
stock=$logs/rebuild-$COMPOSE_PROJECT_NAME-$records-records
if [[ -s $stock ]]; then
  step "an earlier run did not come to its end: what it counted before is in $stock"
else
  step "counting $records records before"
  take_stock > "$stock.new"
  mv "$stock.new" "$stock"
fi
before=$(< "$stock")

step 'PostgreSQL: emptying, loading, building the star'
files=$(sql "select ops.forget_topic('$topic')")
loaded=$(job load | field files)
job dbt --full-refresh > /dev/null
step "PostgreSQL: $files raw files forgotten, $loaded loaded"

step 'Cassandra: emptying, writing'
for table in "${tables[@]}"; do run "truncate-$table" cql "truncate logs.$table"; done
written=$(job stream --from-chain --hand-over --epoch "$epoch" | field records)
step "Cassandra: $written records written"

step 'counting after'
after=$(take_stock)
printf '\n  %-22s %-36s %s\n' table 'before: rows, digest' 'after'
differences=0
while read -r table old; do
  new=$(awk -v table="$table" '$1 == table { print $2, $3 }' <<< "$after")
  mark=
  [[ $old == "$new" ]] || { mark=' DIFFERENT'; differences=$((differences + 1)); }
  printf '  %-22s %-36s %s%s\n' "$table" "$old" "$new" "$mark"
done <<< "$before"
echo

rm -f "$stock"
compose start stream > /dev/null 2>&1
[[ -z $active ]] || airflow dags unpause --yes --treat-dag-id-as-regex "^($active)\$" > /dev/null
[[ -z $was_producing ]] || compose start produce > /dev/null 2>&1
[[ $differences == 0 ]] ||
  fail "$differences tables differ: see above. They hold now what the raw files hold. In Cassandra, rows of another topic are gone, and
rows older than they are kept there (30 or 90 days) are back; anything else is a fault."
step 'every table is as it was; stream, the DAGs and the generator go on'
