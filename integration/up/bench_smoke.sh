#!/bin/bash
# Every benchmark once with few events, results thrown away: shows that `make bench` works, not how fast anything is.
# Without micro, whose own build takes longer than all of these.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export BENCH_FOLDER=$folder BENCH_ROUNDS=1 BENCH_PRODUCE_EVENTS=20000 BENCH_ARCHIVE_EVENTS=40000 BENCH_ARCHIVE_FEW_EVENTS=20000 \
  BENCH_STREAM_EVENTS=10000 BENCH_STREAM_SPARK_EVENTS=5000 BENCH_LOAD_EVENTS=40000 BENCH_LOAD_SPARK_EVENTS=20000 \
  BENCH_DELAY_RATE=100 BENCH_DELAY_SECONDS=5 BENCH_HISTORY_EVENTS=5000 BENCH_HISTORIES=0,20000,60000 BENCH_HISTORY_PIECE=20000 BENCH_BACKLOGS=5000,10000
export BENCH='produce archive stream load delay start backlog history'
"$(dirname "$0")/bench.sh"

for name in $BENCH; do
  case $name in
    archive) name=hdfs ;;
    stream) name=cassandra ;;
    load) name=postgres ;;
  esac
  compgen -G "$folder/$name-*.json" > /dev/null || { echo "$name left no result" >&2; exit 1; }
done
[[ -s $folder/README.md && -s $folder/hdfs.png ]] || { echo 'no table or no plot' >&2; exit 1; }
