#!/bin/bash
# make up: from a bare machine to a running pipeline whose first events are counted in every store.
set -euo pipefail
here=$(dirname "$0")
source "$here/steps.sh"

"$here/engine.sh"
source "$here/settings.sh"
"$here/images.sh"
"$here/stack.sh"
"$here/check.sh"
compose up --detach produce > "$logs/produce-service.log" 2>&1 || { cat "$logs/produce-service.log" >&2; fail 'produce did not start'; }
step 'the log generator runs at 5 events a second; ready'
cat <<TEXT

  Airflow      http://localhost:8082   ($AIRFLOW_USERNAME / $AIRFLOW_PASSWORD)
  NameNode     http://localhost:9870
  PostgreSQL   localhost:5432          (database airflow, user airflow)
  Cassandra    localhost:9042
  Kafka        localhost:29092
TEXT
