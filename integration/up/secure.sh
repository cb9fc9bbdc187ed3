#!/bin/bash
# Makes what docker-compose.secure.yaml needs and is not there yet: certificates, and a password for each user of Kafka.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"
command -v openssl > /dev/null || fail 'openssl is not installed: install it, then run this again.'

integration/up/certificates.sh .secrets/tls
for user in PRODUCE STREAM PIPELINE; do
  [[ -e .secrets/KAFKA_${user}_PASSWORD ]] || keep "KAFKA_${user}_PASSWORD" "$(openssl rand -hex 24)"
done
step 'certificates and passwords are in .secrets; now: docker compose -f docker-compose.yaml -f docker-compose.secure.yaml up --detach'
