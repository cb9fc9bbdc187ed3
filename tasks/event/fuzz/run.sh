#!/bin/bash
# run.sh SECONDS [FOLDER]: fuzzes event::parse for that long, beginning with the corpus of its tests.
# Ends with 1 when an input breaks a property, and leaves that input in FOLDER (./findings).
# Everything happens in a container, of the project's toolchain: stable Rust, and no cargo-fuzz. Who has a nightly one:
#   cargo +nightly fuzz run parse tests/corpus      (on a stable one: cargo fuzz run --sanitizer none parse tests/corpus)
set -euo pipefail
seconds=${1:-}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo 'usage: run.sh SECONDS [FOLDER]' >&2; exit 2; }
findings=${2:-findings}
mkdir -p "$findings"
findings=$(cd "$findings" && pwd)
root=$(cd "$(dirname "$0")/../../.." && pwd)

image=${FUZZ_IMAGE:-rust:1.96-bookworm}
ca=()   # for registries behind a proxy of one's own
[[ ! -r /etc/ssl/certs/ca-certificates.crt ]] ||
  ca=(--volume /etc/ssl/certs/ca-certificates.crt:/run/ca:ro --env CARGO_HTTP_CAINFO=/run/ca)

# Dependencies, once compiled, stay in a volume. The sources cannot be written to.
docker run --rm --interactive --memory 2g "${ca[@]}" \
  --volume "$root/Cargo.toml:/src/Cargo.toml:ro" --volume "$root/tasks/event:/src/tasks/event:ro" --volume "$findings:/findings" \
  --volume ecomm-fuzz-registry:/usr/local/cargo/registry --volume ecomm-fuzz-target:/target \
  --env CARGO_TARGET_DIR=/target --env CARGO_INCREMENTAL=0 --env "SECONDS_TO_RUN=$seconds" --env "OWNER=$(id -u):$(id -g)" \
  --entrypoint bash "$image" -s << 'INSIDE'
set -euo pipefail
# A copy, because cargo goes by the files' times, and another checkout may have been compiled since.
cp -R /src /copy
cd /copy/tasks/event/fuzz
# What cargo-fuzz sets for --sanitizer none: counters at every branch, which libFuzzer reads, and comparisons for it to
# learn from. With --target, build scripts and macros are compiled without them.
flags=(--cfg=fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks)
for flag in coverage-level=4 coverage-inline-8bit-counters coverage-pc-table coverage-trace-compares; do
  flags+=("-Cllvm-args=-sanitizer-$flag")
done
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="${flags[*]}" cargo build --quiet --release --locked --target "$host"

mkdir /tmp/corpus
find ../tests/corpus -name '*.bin' -exec cp -t /tmp/corpus {} +
begun=$(date +%s) status=0
# An input may take 10 s and the process 1 GiB: more is a finding too.
"/target/$host/release/parse" -max_total_time="$SECONDS_TO_RUN" -timeout=10 -rss_limit_mb=1024 -max_len=16384 \
  -dict=parse.dict -artifact_prefix=/findings/ -print_final_stats=1 /tmp/corpus > /tmp/log 2>&1 || status=$?
chown -R "$OWNER" /findings
grep -E '[[:space:]](INITED|DONE)[[:space:]]' /tmp/log || true
executions=$(sed -nE 's/^stat::number_of_executed_units: +([0-9]+)$/\1/p' /tmp/log)
took=$(($(date +%s) - begun))
printf 'fuzz parse: %s executions in %d s\n' "${executions:-no}" "$took"
if [[ $status -ne 0 ]]; then
  grep -vE '^#[0-9]+[[:space:]]' /tmp/log | tail -n 40
  ls /findings
  exit 1
fi
# a fuzzer that sees no branches would end well and find nothing
grep -qE '#[0-9]+[[:space:]]+DONE +cov: [0-9]{3,}' /tmp/log || { tail -n 20 /tmp/log; echo 'no coverage was measured'; exit 1; }
INSIDE
