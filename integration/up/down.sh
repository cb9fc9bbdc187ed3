#!/bin/bash
# make down, make clean: removes the stack's containers, those of jobs too, which compose does not know.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
if ! docker info > /dev/null 2>&1; then
  echo 'The Docker engine does not run: there is nothing to stop.'
  exit 0
fi
source "$(dirname "$0")/settings.sh"

# The scheduler first, or it would start the next job.
compose stop airflow-scheduler > /dev/null 2>&1 || true
mapfile -t jobs < <(docker ps --all --quiet --filter label=com.ecomm-pipeline.job=1 \
  --filter "network=$COMPOSE_PROJECT_NAME")
if [[ ${#jobs[@]} -gt 0 ]]; then
  docker stop --time 20 "${jobs[@]}" > /dev/null
  docker rm --force "${jobs[@]}" > /dev/null
  step "${#jobs[@]} job containers removed"
fi
compose --profile grafana --profile docs down --remove-orphans "$@"
