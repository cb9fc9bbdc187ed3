# shellcheck shell=bash
# Sourced by the scripts beside it: steps with elapsed time, the engine's commands, waiting.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
downloads=${ECOMM_DOWNLOADS:-${XDG_CACHE_HOME:-$HOME/.cache}/ecomm-pipeline}   # jars and the base system, shared by all clones
logs=$downloads/logs
mkdir -p "$logs"
started=${started:-$(date +%s)}
export started
cd "$root" || exit

step() { printf '[%4ds] %s\n' "$(($(date +%s) - started))" "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }

# run NAME COMMAND...: output to a log file, of which the end is shown if the command fails
run() {
  local name=$1 log=$logs/$1.log begun
  shift
  begun=$(date +%s)
  if ! "$@" > "$log" 2>&1 < /dev/null; then
    tail -n 25 "$log" >&2
    step "$name: FAILED, the whole log is $log" >&2
    return 1
  fi
  step "$name: $(($(date +%s) - begun)) s"
}

# eventually SECONDS WHAT COMMAND...: tries once a second, fails when the time is over
eventually() {
  local seconds=$1 what=$2 limit=$((SECONDS + $1))
  shift 2
  until "$@" > /dev/null 2>&1; do
    ((SECONDS < limit)) || fail "$what: not within $seconds s"
    sleep 1
  done
}

is_root() { [[ $(id -u) == 0 ]]; }
is_debian() { [[ -r /etc/os-release ]] && (. /etc/os-release && [[ $ID == debian ]]); }

install_packages() {
  step "installing $*"
  run apt-update apt-get update
  run apt-install env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Maven, and the JDK that it runs on.
need_maven() {
  local packages=()
  command -v javac > /dev/null || packages+=(openjdk-17-jdk-headless)
  command -v mvn > /dev/null || packages+=(maven)
  [[ ${#packages[@]} == 0 ]] || install_packages "${packages[@]}"
}

# The plugin if there is one, else the older program of its own.
compose() {
  if docker compose version > /dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

# The first container of a service: compose's two generations name containers differently, but label them alike.
container() {
  docker ps --quiet --latest --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter "label=com.docker.compose.service=$1"
}

# BuildKit is in buildx, and in clients before version 23; a newer client without buildx cannot build these files.
builder() {
  if docker buildx version > /dev/null 2>&1; then
    echo docker buildx build --load
    return
  fi
  local client
  for client in docker /usr/bin/docker; do
    if [[ $("$client" version --format '{{.Client.Version}}' 2> /dev/null) =~ ^(19|20)\. ]]; then
      echo env DOCKER_BUILDKIT=1 "$client" build
      return
    fi
  done
  fail 'This docker cannot build with BuildKit: install its buildx plugin (package docker-buildx or docker-buildx-plugin).'
}

# build TAG ARGUMENTS...: with the host's certificates as a secret, for registries behind a proxy of one's own
build() {
  local tag=$1 secret=()
  shift
  [[ ! -r /etc/ssl/certs/ca-certificates.crt ]] || secret=('--secret=id=ca,src=/etc/ssl/certs/ca-certificates.crt')
  # shellcheck disable=SC2046
  $(builder) --progress=plain "${secret[@]}" --tag "$tag" "$@"
}

has_image() { docker image inspect "$1" > /dev/null 2>&1; }
