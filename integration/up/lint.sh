#!/bin/bash
# make lint: formatting and lints of every language, in containers, so that everyone has the same versions.
set -euo pipefail
source "$(dirname "$0")/prepared.sh"
step 'lint'

tools=ecomm-pipeline/lint-tools
run lint-tools build "$tools" --file dockerfile --target lint-tools .
tool() { docker run --rm --volume "$root:/src:ro" --entrypoint "$1" "$tools" "${@:2}"; }

failed=()
check() {
  local name=$1
  shift
  run "$name" "$@" || failed+=("$name")
}
mapfile -t scripts < <(git ls-files '*.sh' .ci/run integration/images | xargs -r grep -lE '^#!/bin/(ba)?sh|^# shellcheck shell=')

check shellcheck tool shellcheck --external-sources "${scripts[@]}"
check ruff-check tool ruff check --no-cache .
check ruff-format tool ruff format --no-cache --check .
check sqlfluff tool sqlfluff lint --disable-progress-bar .
# what the DAGs would start in a cluster: the pods, and whether Kubernetes would take them
pods() {
  docker run --rm --network none --volume "$root:/src:ro" --env PYTHONDONTWRITEBYTECODE=1 --entrypoint python apache/airflow:3.3.2 \
    /src/integration/kubernetes/render_pods.py /src/dags |
    docker run --rm --interactive --volume "$root:/src:ro" --entrypoint python "$tools" integration/kubernetes/validate_pods.py
}
check pods pods
check operations tool python3 integration/up/check_operations.py
check power-bi tool python3 powerbi/check_schemas.py
check promtool docker run --rm --volume "$root/prometheus:/etc/prometheus:ro" --entrypoint /bin/promtool \
  prom/prometheus:v2.42.0 check config /etc/prometheus/prometheus.yml
check rust build ecomm-pipeline/lint-rust --file dockerfile --target lint-rust .
# Their database is fetched by git from elsewhere, which not every network allows; and what is built already is not built again.
! grep -q 'advisories: not checked$' "$logs/rust.log" || step 'cargo deny: advisories were NOT checked, their database cannot be reached'

# A password has no default but in .env.example: what forgets to ask for one must fail, not work with a known one.
no_default_password() {
  ! git grep -nIE "PASSWORD[A-Z_]*(:-[^}]|:=[^}]|['\"]\)?, *['\"][a-z]|=[a-z]+( |\$))" -- \
    ':!.env.example' ':!README.md' ':!CONTRIBUTING.md' ':!ARCHITECTURE.md' ':!docs' |
    grep -v '"wrong'   # a test's
}
check passwords no_default_password
[[ ${#failed[@]} -eq 0 ]] || fail "lint: ${failed[*]} found something, see above"
