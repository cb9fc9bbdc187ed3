#!/bin/bash
# Starts every service but `produce`, `grafana` and `docs` and waits until all are healthy and the one-shot services are done.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"

limit_seconds=300

# What is not as it should be, one line a container: a service not healthy yet, a one-shot not done with success.
unready() {
  docker ps --all --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --format '{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.oneoff"}} {{.Status}}' |
    grep -vE '^(produce|grafana|docs) |\(healthy\)|Exited \(0\)| True '
}

failed() { unready | grep -E 'Exited|\(unhealthy\)|Restarting'; }

step 'starting the stack'
mapfile -t services < <(compose config --services | grep -vxE 'produce|grafana|docs')
if ! compose up --detach "${services[@]}" > "$logs/compose-up.log" 2>&1; then
  unready >&2 || true
  tail -n 15 "$logs/compose-up.log" >&2
  fail 'The stack did not start: see above.'
fi
limit=$((SECONDS + limit_seconds))
while unready > /dev/null; do
  if failed > /dev/null || ((SECONDS > limit)); then
    unready >&2
    for service in $(unready | cut -d ' ' -f 1); do
      printf '\n-- %s:\n' "$service" >&2
      docker logs --tail 20 "$(container "$service")" >&2 || true
    done
    fail "The stack is not healthy after $limit_seconds s at most: see above."
  fi
  sleep 1
done
step 'all services are healthy or done'
