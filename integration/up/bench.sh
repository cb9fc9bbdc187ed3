#!/bin/bash
# make bench [BENCH='stream delay']: measures on the running stack, whose own work stands still meanwhile; results go to docs/benchmarks.
set -euo pipefail
here=$(dirname "$0")
source "$here/steps.sh"

"$here/engine.sh"
source "$here/settings.sh"
"$here/images.sh"
run test-image build "ecomm-pipeline/test:$PIPELINE_TAG" --file dockerfile --target test .
"$here/stack.sh"

idle=(produce stream airflow-scheduler)
mapfile -t stopped < <(for service in "${idle[@]}"; do [[ -z $(container "$service") ]] || echo "$service"; done)
resume() { [[ ${#stopped[@]} -eq 0 ]] || compose start "${stopped[@]}" > /dev/null 2>&1 || step "not started again: ${stopped[*]}"; }
trap resume EXIT
[[ ${#stopped[@]} -eq 0 ]] || compose stop "${stopped[@]}" > /dev/null 2>&1

for benchmark in ${BENCH:-stream delay}; do
  step "measuring: $benchmark"
  docker run --rm --network "$COMPOSE_PROJECT_NAME" --env-file .env --entrypoint bench \
    --volume "$root/docs/benchmarks:/results" "ecomm-pipeline/test:$PIPELINE_TAG" "$benchmark"
done
