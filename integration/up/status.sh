#!/bin/bash
# make status: every container of the stack with its health and memory.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
docker info > /dev/null 2>&1 || fail 'The Docker engine does not run: make up starts it.'
source "$(dirname "$0")/settings.sh"

docker ps --all --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
  --format 'table {{.Label "com.docker.compose.service"}}\t{{.Status}}\t{{.Ports}}'
# jobs too, which are on the network and no service
mapfile -t running < <({ docker ps --quiet --filter "network=$COMPOSE_PROJECT_NAME"
  docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME"; } | sort -u)
if [[ ${#running[@]} -gt 0 ]]; then
  echo
  docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' "${running[@]}" |
    awk '{ value = $2 + 0; if ($2 ~ /GiB/) value *= 1024; sum += value; printf "%-32s %8.0f MiB\n", $1, value }
         END { printf "%-32s %8.0f MiB\n", "all", sum }'
fi
