#!/bin/bash
# make bench [BENCH='produce archive …'] [BENCH_FOLDER=DIR]: measures on the running stack, whose own work stands still meanwhile;
# results go to docs/benchmarks.
set -euo pipefail
source "$(dirname "$0")/prepared.sh"
source "$here/test_image.sh"
"$here/spark_image.sh"
"$here/stack.sh"

idle=(produce stream airflow-scheduler airflow-dag-processor airflow-api-server)
mapfile -t stopped < <(for service in "${idle[@]}"; do [[ -z $(container "$service") ]] || echo "$service"; done)
share=ecomm-bench-$$
end() {
  [[ ${#stopped[@]} -eq 0 ]] || compose start "${stopped[@]}" > /dev/null 2>&1 || step "not started again: ${stopped[*]}"
  docker volume rm "$share" > /dev/null
}
docker volume create "$share" > /dev/null
trap end EXIT
[[ ${#stopped[@]} -eq 0 ]] || compose stop "${stopped[@]}" > /dev/null 2>&1

results=$(realpath -m "${BENCH_FOLDER:-docs/benchmarks}")
mkdir -p "$results"
mapfile -t settings < <(env | sed -n 's/^\(BENCH_[A-Z_]*\)=.*/--env=\1/p')
for benchmark in ${BENCH:-micro produce archive stream load delay start backlog history}; do
  step "measuring: $benchmark"
  [[ $benchmark != micro ]] || integration/bench/micro/run.sh "$PIPELINE_TAG" "$share"
  docker run --rm --network "$COMPOSE_PROJECT_NAME" --env-file .env --env "BENCH_VOLUME=$share" "${settings[@]}" --entrypoint bench \
    --volume "$share:/share" --volume "$results:/results" --volume /var/run/docker.sock:/var/run/docker.sock \
    "ecomm-pipeline/test:$PIPELINE_TAG" "$benchmark"
done
docker run --rm --entrypoint python --env MPLCONFIGDIR=/tmp --volume "$results:/results" --volume "$root/integration/bench/plot.py:/plot.py:ro" \
  "ecomm-pipeline/bench-spark:$PIPELINE_TAG" /plot.py /results
