#!/bin/bash
# Has every image ready: the third-party ones pulled, or built here as stand-ins when no registry can be reached;
# then the project's own. What does not depend on each other runs side by side.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

stand_ins=integration/images
images=(debian:bookworm-slim rust:1.96-bookworm python:3.11-slim-bookworm
  apache/kafka:4.3.1 apache/hadoop:3.4.3 cassandra:5.0.9 postgres:15 apache/airflow:3.3.2
  prom/prometheus:v2.42.0 prom/pushgateway:v1.5.1)
optional=(grafana/grafana:11.6.0)   # no stand-in: where it cannot be pulled, the stack runs without it

# ---- third-party images ----------------------------------------------------------------------------------------------

# What a stand-in is made of is noted in a label of it, so that it is made again when that changes.
label=com.ecomm-pipeline.stand-in
source_of() {   # IMAGE
  local name=${1##*/}
  find "$stand_ins/${name%%:*}" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16
}
is_outdated() {
  local made_of
  made_of=$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2> /dev/null) || return 1
  [[ -n $made_of && $made_of != '<no value>' && $made_of != "$(source_of "$1")" ]]
}
stand_in() { build "$1" --label "$label=$(source_of "$1")" "${@:2}"; }

missing=()
for image in "${images[@]}"; do
  if ! has_image "$image" || is_outdated "$image"; then missing+=("$image"); fi
done

# pull IMAGE: 0 pulled, 1 there is no such image, 2 the registry cannot be used
pull() {
  local log=$logs/pull-${1//[\/:]/-}.log
  if timeout 900 docker pull --quiet "$1" > "$log" 2>&1; then return 0; fi
  if grep -qiE 'not found|manifest unknown' "$log"; then return 1; fi
  return 2
}

to_build=()
reachable=yes
if [[ ${#missing[@]} -gt 0 ]]; then
  step "pulling ${#missing[@]} images"
  for image in "${missing[@]}"; do
    # One refused connection tells enough: the others would only wait for the same answer.
    if [[ $reachable == no ]]; then to_build+=("$image"); continue; fi
    outcome=0
    pull "$image" || outcome=$?
    case $outcome in
      0) step "$image: pulled" ;;
      1) step "$image: the registry does not have it" && to_build+=("$image") ;;
      *) reachable=no
         to_build+=("$image")
         step "$image: the registry cannot be used: $(tail -n 1 "$logs/pull-${image//[\/:]/-}.log")" ;;
    esac
  done
fi

for image in "${optional[@]}"; do
  if [[ $reachable == yes ]] && ! has_image "$image"; then
    if pull "$image"; then step "$image: pulled"; else step "$image: cannot be pulled, and nothing needs it"; fi
  fi
done

wants() { [[ " ${to_build[*]} " == *" $1 "* ]]; }

if [[ ${#to_build[@]} -gt 0 ]]; then
  { is_root && is_debian; } ||
    fail "These images can be neither pulled nor, other than as root on Debian, built here: ${to_build[*]}"
  step "building stand-ins for: ${to_build[*]}"
  command -v mmdebstrap > /dev/null || install_packages mmdebstrap
fi

base_image() {
  local tar=$downloads/debian-bookworm.tar
  { [[ -s $tar ]] || "$stand_ins/debian/build.sh" "$tar"; } && docker import --change 'CMD ["bash"]' "$tar" debian:bookworm-slim
}

# The jars of the Java servers that are to be built and not downloaded yet.
jars() {
  local modules=() image module
  for image in apache/kafka:4.3.1 apache/hadoop:3.4.3 cassandra:5.0.9; do
    module=${image#apache/}
    if wants "$image" && [[ ! -e $downloads/${module/:/-}/.complete ]]; then modules+=("$module"); fi
  done
  [[ ${#modules[@]} -gt 0 ]] || return 0
  need_maven
  run jars mvn --batch-mode --quiet -T 3 -f "$stand_ins/pom.xml" --also-make -Ddownloads="$downloads" \
    --projects "$(IFS=,; echo "${modules[*]%:*}")" package
  for module in "${modules[@]}"; do touch "$downloads/${module/:/-}/.complete"; done
}

# with_downloads IMAGE NAME FOLDER...: the image's folder and what was downloaded for it are one build context
with_downloads() {
  local image=$1 name=$2
  shift 2
  tar --create --directory "$stand_ins/$name" . --directory "$downloads/$name-${image##*:}" "$@" | stand_in "$image" -
}

server_images() {
  if wants postgres:15; then run postgres:15 stand_in postgres:15 "$stand_ins/postgres"; fi
  if wants prom/prometheus:v2.42.0; then run prometheus stand_in prom/prometheus:v2.42.0 "$stand_ins/prometheus"; fi
  if wants prom/pushgateway:v1.5.1; then run pushgateway stand_in prom/pushgateway:v1.5.1 "$stand_ins/pushgateway"; fi
  if wants apache/kafka:4.3.1 || wants apache/hadoop:3.4.3 || wants cassandra:5.0.9; then
    run jre build ecomm-pipeline/jre:17 "$stand_ins/jre"
  fi
  if wants apache/kafka:4.3.1; then run kafka:4.3.1 with_downloads apache/kafka:4.3.1 kafka libs; fi
  if wants apache/hadoop:3.4.3; then run hadoop:3.4.3 with_downloads apache/hadoop:3.4.3 hadoop libs webapps; fi
  if wants cassandra:5.0.9; then run cassandra:5.0.9 with_downloads cassandra:5.0.9 cassandra libs; fi
  if wants apache/airflow:3.3.2; then run airflow:3.3.2 stand_in apache/airflow:3.3.2 "$stand_ins/airflow"; fi
}

# ---- the project's own images ----------------------------------------------------------------------------------------

own_image() { build "ecomm-pipeline/$1:${PIPELINE_TAG:-dev}" --file dockerfile --target "$1" .; }

rust_images() {
  if wants rust:1.96-bookworm; then run rust:1.96-bookworm stand_in rust:1.96-bookworm "$stand_ins/rust"; fi
  run dependencies build ecomm-pipeline/dependencies --file dockerfile --target deps .
  run produce own_image produce   # compiles all tasks
  local task
  for task in stream archive catalog load audit maintain socket_proxy; do own_image "$task" > "$logs/$task.log" 2>&1; done
}

dbt_image() {
  if wants python:3.11-slim-bookworm; then run python:3.11-slim-bookworm stand_in python:3.11-slim-bookworm "$stand_ins/python"; fi
  run dbt own_image dbt
}

jars &   # from the network, while the base system keeps the processor busy
downloading=$!
if wants debian:bookworm-slim; then run debian:bookworm-slim base_image; fi
step 'building the images of the pipeline'
rust_images &
rust=$!
failed=0
wait "$downloading" || failed=1
{ server_images; dbt_image; } &
others=$!
wait "$others" || failed=1
wait "$rust" || failed=1
[[ $failed == 0 ]] || fail 'An image could not be built: see above.'
