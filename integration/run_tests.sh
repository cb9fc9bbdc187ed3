#!/bin/bash
# Entry point of the test image: runs the test executables named, one after another, and sums up. When none is named: all
# but the long ones and those that kill the servers which everybody uses: they are left to `make chaos`.
# Options after `--` go to each of them: run_tests event.event -- --nocapture
set -uo pipefail
names=()
while [[ $# -gt 0 && $1 != -- ]]; do names+=("$1") && shift; done
[[ ${1:-} != -- ]] || shift
if [[ ${#names[@]} -eq 0 ]]; then
  # the quick ones of the tasks first: a fault there explains the others
  late=() chaos=()
  for path in /tests/*; do
    name=${path##*/}
    case $name in
      integration.kill_points | integration.heal | integration.disk_full | \
        integration.server_faults | integration.network_faults | integration.postgres_faults | integration.airflow_faults)
        chaos+=("$name") && continue ;;
    esac
    if [[ $name == integration.* ]]; then late+=("$name"); else names+=("$name"); fi
  done
  names+=("${late[@]}")
  echo "left to make chaos: ${chaos[*]}"
fi

passed=0 failed=0 ignored=0
output=$(mktemp)
for name in "${names[@]}"; do
  printf '\n== %s\n' "$name"
  crate=${name%%.*}
  directory=/src/tasks/$crate
  [[ -d $directory ]] || directory=/src/$crate   # cargo runs a crate's tests in its directory
  begun=$SECONDS
  (cd "$directory" && "/tests/$name" "$@") 2>&1 | tee "$output"
  status=${PIPESTATUS[0]}
  read -r p f i < <(sed -nE 's/^test result: [a-zA-Z]+\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' "$output" |
    awk '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i + 0 }')
  # an executable that dies without its result line is a failure too
  if [[ $status -ne 0 && $f -eq 0 ]]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f)) ignored=$((ignored + i))
  printf '== %s: %d s\n' "$name" $((SECONDS - begun))
done
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$ignored"
[[ $failed -eq 0 && $passed -gt 0 ]]
