#!/bin/bash
# Makes the keyspace and the tables in a Cassandra of your own; in the stack of `make up` this is done already.
# Running it again changes nothing.
#
#   ./setup_cassandra.sh [HOST [PORT]]      default: localhost 9042
#
# Needs cqlsh (comes with Cassandra; alone: pip install cqlsh) or docker. CQLSH_OPTIONS are handed on to cqlsh, for a login:
#   CQLSH_OPTIONS='--username admin --password-file ...' ./setup_cassandra.sh cassandra.example.org
set -euo pipefail
host=${1:-localhost} port=${2:-9042}
script=$(cd "$(dirname "$0")" && pwd)/cassandra_setup.cql

# shellcheck disable=SC2206   # a list of words
options=(${CQLSH_OPTIONS:-} --request-timeout=60)
if command -v cqlsh > /dev/null; then
  cqlsh "${options[@]}" --file "$script" "$host" "$port"
elif docker image inspect cassandra:5.0.9 > /dev/null 2>&1; then
  docker run --rm --network host --volume "$script:/setup.cql:ro" --entrypoint cqlsh cassandra:5.0.9 \
    "${options[@]}" --file /setup.cql "$host" "$port"
else
  echo 'Neither cqlsh nor the image cassandra:5.0.9 is here: install cqlsh (pip install cqlsh), then run this again.' >&2
  exit 1
fi
echo "The tables of keyspace logs are in place on $host:$port."
