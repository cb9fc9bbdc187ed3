#!/bin/bash
# make test [TESTS='NAME... -- OPTIONS'] [SEED=N] [TEST_MINUTES=N]: every test executable, inside the stack's network; what it needs is started first.
set -euo pipefail
source "$(dirname "$0")/prepared.sh"
source "$here/test_image.sh"
# A stack that runs already stays as it is.
"$here/stack.sh"

step 'running the tests'
# The socket, because some tests stop servers and run the task images; the network, because they talk to the servers.
# shellcheck disable=SC2086   # a list of words
docker run --rm --network "$COMPOSE_PROJECT_NAME" --env-file .env --env "SEED=${SEED:-}" --env "TEST_MINUTES=${TEST_MINUTES:-}" \
  --volume /var/run/docker.sock:/var/run/docker.sock "ecomm-pipeline/test:$PIPELINE_TAG" ${TESTS:-}
