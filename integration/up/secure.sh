# shellcheck shell=bash
# Sourced by settings.sh where COMPOSE_FILE names docker-compose.secure.yaml: makes the certificates and passwords that are not
# there yet, and lets scripts log in as the jobs of the DAGs do.
if ! command -v openssl > /dev/null; then
  { is_root && is_debian; } || fail 'openssl is not installed: install it, then run this again.'
  install_packages openssl
fi
integration/up/certificates.sh .secrets/tls
for name in KAFKA_{PRODUCE,STREAM,PIPELINE}_PASSWORD CASSANDRA_{ADMIN,STREAM,READER}_PASSWORD; do
  [[ -e .secrets/$name ]] || keep "$name" "$(openssl rand -hex 24)"
done
CASSANDRA_PASSWORD=$(< .secrets/CASSANDRA_STREAM_PASSWORD)
KAFKA_PASSWORD=$(< .secrets/KAFKA_PIPELINE_PASSWORD)
KAFKA_CA=$(< .secrets/tls/ca.pem)
export KAFKA_USERNAME=pipeline KAFKA_PASSWORD KAFKA_CA POSTGRES_CA=$KAFKA_CA CASSANDRA_USERNAME=stream CASSANDRA_PASSWORD
export KAFKA_ADMIN=127.0.0.1:9094   # the broker's own loopback: there nobody is asked for a login
