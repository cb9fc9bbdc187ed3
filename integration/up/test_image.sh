# shellcheck shell=bash
# Sourced after prepared.sh by what runs in the test image: builds it. What is in it speaks to servers without TLS.
[[ ${COMPOSE_FILE:-} != *docker-compose.secure.yaml* ]] ||
  fail 'The tests speak to Kafka and PostgreSQL without TLS: run them where COMPOSE_FILE in .env does not name docker-compose.secure.yaml.'
run test-image build "ecomm-pipeline/test:$PIPELINE_TAG" --file dockerfile --target test .
