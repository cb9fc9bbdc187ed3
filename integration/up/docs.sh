#!/bin/bash
# make docs: the pages that dbt makes of the models (grain, columns, tests, what is built from what) and of the tables in the
# running warehouse, served until `make down`; and the same as one file that needs no server.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"
step 'docs'

page=target/dbt-docs.html
mkdir -p target
# not what it needs: a stack that does not run is not started for it
compose --profile docs up --detach --no-deps --force-recreate docs > "$logs/docs.log" 2>&1 ||
  { tail -n 5 "$logs/docs.log" >&2; fail 'no docs: see above'; }
made=$(container docs)
served() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$made") == healthy ]]; }
limit=$((SECONDS + 120))
until served; do
  if ((SECONDS > limit)) || [[ $(docker inspect --format '{{.RestartCount}}' "$made") != 0 ]]; then
    docker logs --tail 5 "$made" >&2
    docker rm --force "$made" > /dev/null
    fail 'no docs: see above. Is the stack up? (make up)'
  fi
  sleep 1
done
docker exec "$made" cat /tmp/docs/site/index.html > "$page"
step "http://localhost:8081, and $page to keep"
