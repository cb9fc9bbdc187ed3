#!/bin/bash
# make chaos [SEED=N] [MINUTES=N] [ONLY=faults|features]: every fault on the real stack, and one table of what they did; see integration/run_chaos.sh.
set -euo pipefail
here=$(dirname "$0")
source "$here/steps.sh"

"$here/engine.sh"
source "$here/settings.sh"
"$here/images.sh"
run test-image build "ecomm-pipeline/test:$PIPELINE_TAG" --file dockerfile --target test .
"$here/stack.sh"

step 'injecting faults'
docker run --rm --network "$COMPOSE_PROJECT_NAME" --env-file .env --env "SEED=${SEED:-}" --env "MINUTES=${MINUTES:-}" --env "ONLY=${ONLY:-}" \
  --volume "$root/integration/run_chaos.sh:/usr/local/bin/run_chaos:ro" \
  --volume /var/run/docker.sock:/var/run/docker.sock --entrypoint /usr/bin/tini "ecomm-pipeline/test:$PIPELINE_TAG" -- run_chaos
