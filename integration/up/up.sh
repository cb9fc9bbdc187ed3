#!/bin/bash
# make up: from a bare machine to a running pipeline whose first events are counted in every store.
set -euo pipefail
source "$(dirname "$0")/prepared.sh"
"$here/stack.sh"
"$here/check.sh"
compose up --detach produce > "$logs/produce-service.log" 2>&1 || { cat "$logs/produce-service.log" >&2; fail 'produce did not start'; }

# Grafana comes last, and only where its image could be had: everything else runs without it.
grafana='its image could not be pulled; all else runs. Later: docker compose --profile grafana up --detach grafana'
if has_image grafana/grafana:11.6.0; then
  grafana="http://localhost:3000   (admin / $GRAFANA_PASSWORD)"
  compose --profile grafana up --detach --no-deps grafana > "$logs/grafana-service.log" 2>&1 ||
    grafana="did not start: see $logs/grafana-service.log"
fi
step 'the log generator runs at 5 events a second; ready'
cat <<TEXT

  Airflow      http://localhost:8082   ($AIRFLOW_USERNAME / $AIRFLOW_PASSWORD)
  Grafana      $grafana
  Prometheus   http://localhost:9090
  stream       http://localhost:8080
  NameNode     http://localhost:9870
  PostgreSQL   localhost:5432          (database airflow, user airflow)
  Cassandra    localhost:9042
  Kafka        localhost:29092
TEXT
