#!/bin/bash
# make drill [YES=1]: practises the chapter on backup of docs/operations.md on the running stack. Each loss is brought about, mended
# by the very commands of that page, and then every record is compared. The stack's data are destroyed on the way; asks first.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"

page=docs/operations.md
log=$logs/drill.log
passed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! docker compose version > /dev/null 2>&1; then
  docker() { if [[ ${1:-} == compose ]]; then docker-compose "${@:2}"; else command docker "$@"; fi; }
fi
if [[ ${YES:-} != 1 ]]; then
  echo 'This deletes a raw file, the tables of PostgreSQL and Cassandra, and in the end every volume of the stack, and restores'
  echo 'each from a backup that it takes before, in ./backup.'
  read -r -p 'Go on? [y/N] ' answer || answer=
  [[ $answer == [yY]* ]] || fail 'Nothing was done.'
fi

# block HEADING [N]: the N-th commands below a heading of the page
block() {
  awk -v heading="$1" -v wanted="${2:-1}" '
    /^```/ { fenced = !fenced; seen += fenced && inside; next }
    /^#/ && !fenced { inside = ($0 == heading) }
    fenced && inside && seen == wanted' "$page"
}
# Here, so that functions and variables of one block are there for the next.
practise() {
  local commands
  commands=$(block "$@")
  [[ -n $commands ]] || fail "$page has no such commands: $*"
  step "practising: ${1#\#* }, block ${2:-1}"
  {
    printf '\n== %s\n%s\n' "$*" "$commands"
    eval "$commands"
  } >> "$log" 2>&1 < /dev/null || { tail -n 15 "$log" >&2; fail "These commands failed, see $log"; }
}
# What the star holds, a line each, sorted.
star() {
  docker exec "$(container postgres)" psql --no-psqlrc -U airflow -d airflow -v ON_ERROR_STOP=1 -At \
    -c 'select event_id from marts.fact_event' -c 'select fact::text from marts.fact_order as fact' | LC_ALL=C sort
}
level() { { archive && load && dbt; } >> "$log" 2>&1 || fail "The stack cannot be brought level, see $log"; }
# right WHAT [more]: every record is in every store, and the star is what it was; with `more`, it has all that and more
right() {
  local lost added
  level
  audit --full >> "$log" 2>&1 || { tail -n 15 "$log" >&2; fail "$1: audit finds a difference, see $log"; }
  star > "$work/after"
  lost=$(LC_ALL=C comm -23 "$work/before" "$work/after" | wc -l)
  added=$(LC_ALL=C comm -13 "$work/before" "$work/after" | wc -l)
  [[ $lost == 0 && ($added == 0 || ${2:-} == more) ]] || fail "$1: the star lacks $lost events or orders, and has $added more"
  passed=$((passed + 1))
  step "$1: nothing lost, $added events and orders more"
}

: > "$log"
# shellcheck disable=SC1090
source <(block '# Operations' | sed "s/--network ecomm /--network $COMPOSE_PROJECT_NAME /; s/:dev /:$PIPELINE_TAG /")
docker compose stop produce >> "$log" 2>&1
level
star > "$work/before"
practise '### Raw files'
practise '### PostgreSQL'

file=$(hdfs -ls -C '/raw/LogEvents/0/*/*.parquet' 2> /dev/null | sed -n 2p)
step "a raw file is lost: $file"
hdfs -rm -skipTrash "$file" >> "$log" 2>&1
# shellcheck disable=SC1090
source <(block '### Raw files' 2 | sed "s|^FILE=.*|FILE=${file#/raw/}|") >> "$log" 2>&1
right 'a raw file'

step 'the tables of PostgreSQL are lost'
sql 'drop schema raw, ops, marts cascade' >> "$log" 2>&1
practise '### PostgreSQL' 2
right 'PostgreSQL'

step 'the tables of Cassandra are lost'
docker exec "$(container cassandra)" cqlsh -e 'drop keyspace logs' >> "$log" 2>&1
practise '### Cassandra'
right 'Cassandra'

step 'HDFS is empty'
docker compose stop airflow-scheduler >> "$log" 2>&1
hdfs -rm -r -skipTrash '/raw/*' >> "$log" 2>&1
practise '### Raw files' 3
right 'all raw files'

step 'everything is lost: a new machine'
docker compose down --volumes >> "$log" 2>&1
practise '### All of it, on a new machine'
docker compose stop produce >> "$log" 2>&1
right 'everything' more   # the generator ran for a moment

docker compose start produce >> "$log" 2>&1
printf '\n%d passed, 0 failed, 0 skipped\n' "$passed"
