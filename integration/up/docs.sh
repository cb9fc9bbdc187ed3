#!/bin/bash
# make docs: the pages that dbt makes of the models (grain, columns, tests, what is built from what) and of the tables in the
# running warehouse, as one file that needs no server.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"
step 'docs'

page=target/dbt-docs.html
mkdir -p target
# the page comes by stdout, since a folder of the host may not be the container's to write to
docker run --rm --network "$COMPOSE_PROJECT_NAME" --env TRANSFORMER_PASSWORD --entrypoint sh "ecomm-pipeline/dbt:$PIPELINE_TAG" \
  -c 'dbt docs generate --static --target-path /tmp/docs --log-path /tmp/docs >&2 && cat /tmp/docs/static_index.html' \
  2> "$logs/docs.log" > "$page" || { tail -n 5 "$logs/docs.log" >&2; fail 'no docs: see above. Is the stack up? (make up)'; }
step "open $page in a browser"
