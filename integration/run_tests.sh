#!/bin/bash
# Entry point of the test image: runs the test executables named, one after another, and sums up. When none is named: all of
# them, but of the long ones, and of those that kill servers which everybody uses, as many tests as fit into
# TEST_MINUTES, but three at least, drawn by SEED; `make chaos` runs all of these.
# Options after `--` go to each of them: run_tests event.event -- --nocapture
set -uo pipefail
names=()
while [[ $# -gt 0 && $1 != -- ]]; do names+=("$1") && shift; done
[[ ${1:-} != -- ]] || shift
drawn=()
if [[ ${#names[@]} -eq 0 ]]; then
  # the quick ones of the tasks first: a fault there explains the others
  late=()
  for path in /tests/*; do
    name=${path##*/}
    case $name in
      integration.heal | integration.disk_full | \
        integration.server_faults | integration.network_faults | integration.postgres_faults | integration.airflow_faults)
        mapfile -t -O "${#drawn[@]}" drawn < <("$path" --list 2> /dev/null | sed -n "s/: test$//p" | sed "s/^/$name /") ;;
      integration.*) late+=("$name") ;;
      *) names+=("$name") ;;
    esac
  done
  names+=("${late[@]}")
fi

passed=0 failed=0 ignored=0 times=
output=$(mktemp)
# execute NAME OPTIONS...: one test executable
execute() {
  local name=$1 crate=${1%%.*} begun=$SECONDS p f i status
  shift
  printf '\n== %s\n' "$name"
  directory=/src/tasks/$crate
  [[ -d $directory ]] || directory=/src/$crate   # cargo runs a crate's tests in its directory
  (cd "$directory" && "/tests/$name" "$@") 2>&1 | tee "$output"
  status=${PIPESTATUS[0]}
  read -r p f i < <(sed -nE 's/^test result: [a-zA-Z]+\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' "$output" |
    awk '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i + 0 }')
  # an executable that dies without its result line is a failure too
  if [[ $status -ne 0 && $f -eq 0 ]]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f)) ignored=$((ignored + i))
  printf '== %s: %d s\n' "$name" $((SECONDS - begun))
  times+="$((SECONDS - begun)) $name"$'\n'
}
for name in "${names[@]}"; do execute "$name" "$@"; done

if [[ ${#drawn[@]} -gt 0 ]]; then
  seed=${SEED:-$(date +%s)} minutes=${TEST_MINUTES:-24} taken=0
  printf '\nSEED=%s draws the tests of faults of servers, three at least, until %s minutes are over\n' "$seed" "$minutes"
  while read -r name test; do
    ((taken < 3 || SECONDS < minutes * 60)) || break
    execute "$name" --exact "$test" "$@"
    taken=$((taken + 1))
  done < <(printf '%s\n' "${drawn[@]}" | awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -n | cut -f 2)
  printf '\n%d of %d of these tests were run; make chaos runs all\n' "$taken" "${#drawn[@]}"
fi
printf '\nthe longest, in seconds: %s\n' "$(printf %s "$times" | sort -rn | head -n 15 | paste -sd ,)"
printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$ignored"
[[ $failed -eq 0 && $passed -gt 0 ]]
