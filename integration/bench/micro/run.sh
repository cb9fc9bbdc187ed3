#!/bin/bash
# run.sh TAG RESULTS: the micro-benchmarks, in a container that has the compiler; estimates go to the volume RESULTS.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
ca=()
[[ ! -r /etc/ssl/certs/ca-certificates.crt ]] || ca=(--volume /etc/ssl/certs/ca-certificates.crt:/ca.crt:ro --env CARGO_HTTP_CAINFO=/ca.crt)
docker run --rm --volume "$2:/share" --entrypoint bash "ecomm-pipeline/test:$1" \
  -c 'produce --stdout --count 5000 --seed 8 > /share/payloads.txt'
docker run --rm --volume "$root/tasks:/src/tasks:ro" --volume "$root/integration/bench/micro:/src/integration/bench/micro:ro" \
  --volume ecomm-bench-target:/target --volume "$2:/share" "${ca[@]}" \
  --env CARGO_TARGET_DIR=/target --env CRITERION_HOME=/share/criterion --env BENCH_PAYLOADS=/share/payloads.txt \
  --workdir /src/integration/bench/micro ecomm-pipeline/dependencies cargo bench --locked
