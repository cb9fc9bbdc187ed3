#!/bin/bash
# make chaos [SEED=N] [MINUTES=N] [ONLY=faults|features] [POINTS=PATTERN] [FUZZ_SECONDS=N]: event::parse under random bytes for a minute, then every
# fault on the real stack, and one table of what they did; see integration/run_chaos.sh.
set -euo pipefail
source "$(dirname "$0")/prepared.sh"
source "$here/test_image.sh"
"$here/stack.sh"

if [[ ${ONLY:-} != features ]]; then
  findings=$logs/fuzz-findings
  step "fuzzing event::parse for ${FUZZ_SECONDS:-60} s"
  tasks/event/fuzz/run.sh "${FUZZ_SECONDS:-60}" "$findings" || fail "event::parse breaks a property: the input is in $findings. Mend it, and add the input to tasks/event/tests/corpus."
fi

step 'injecting faults'
docker run --rm --network "$COMPOSE_PROJECT_NAME" --env-file .env --env "SEED=${SEED:-}" --env "MINUTES=${MINUTES:-}" --env "ONLY=${ONLY:-}" --env "POINTS=${POINTS:-}" \
  --volume "$root/integration/run_chaos.sh:/usr/local/bin/run_chaos:ro" \
  --volume /var/run/docker.sock:/var/run/docker.sock --entrypoint /usr/bin/tini "ecomm-pipeline/test:$PIPELINE_TAG" -- run_chaos
