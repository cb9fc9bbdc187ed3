#!/bin/bash
# Sees to it that a Docker engine runs and compose is there; on Debian as root it installs them from Debian's packages.
set -euo pipefail
source "$(dirname "$0")/steps.sh"

engine_answers() { docker info > /dev/null 2>&1; }

if ! engine_answers; then
  if ! is_root || ! is_debian; then
    command -v docker > /dev/null || fail 'Docker is not installed: install Docker Engine with its compose and buildx plugins (or Docker Desktop), then run make up again.'
    fail 'The Docker engine does not answer: start it, or let this user use it (group docker), then run make up again.'
  fi
  # docker-compose and mmdebstrap (for images that cannot be pulled) at the same go: it is quicker than one by one
  command -v dockerd > /dev/null || install_packages docker.io iptables iproute2 docker-compose mmdebstrap
fi
# The package's own service may be starting it already where there is an init system.
if ! engine_answers && [[ -d /run/systemd/system ]]; then
  systemctl start docker
fi
if ! engine_answers; then
  step 'starting the Docker engine'
  setsid nohup dockerd > "$logs/dockerd.log" 2>&1 < /dev/null &
  eventually 60 "The Docker engine (see $logs/dockerd.log)" engine_answers
fi

if ! compose version > /dev/null 2>&1; then
  if is_root && is_debian; then
    install_packages docker-compose
  else
    fail 'Docker compose is not installed: install the plugin docker-compose-v2 (or docker-compose-plugin), then run make up again.'
  fi
fi
step "Docker engine $(docker version --format '{{.Server.Version}}'), compose $(compose version --short)"
