#!/bin/bash
# CASSANDRA_* environment -> cassandra.yaml and cassandra-rackdc.properties, as in the official image; then the server.
set -euo pipefail
[[ ${1:-} != -* ]] || set -- cassandra "$@"
[[ ${1:-} == cassandra ]] || exec "$@"

if [[ $(id -u) == 0 ]]; then
  find /var/lib/cassandra ! -user cassandra -exec chown cassandra:cassandra {} +
  exec gosu cassandra "$0" "$@"
fi

address=$(hostname --ip-address | awk '{print $1}')
listen=${CASSANDRA_LISTEN_ADDRESS:-auto}
[[ $listen != auto ]] || listen=$address
broadcast=${CASSANDRA_BROADCAST_ADDRESS:-$listen}

set_yaml() { sed -i "s|^$1:.*|$1: $2|" "$CASSANDRA_CONF/cassandra.yaml"; }
set_yaml listen_address "$listen"
set_yaml broadcast_address "$broadcast"
set_yaml rpc_address "${CASSANDRA_RPC_ADDRESS:-0.0.0.0}"
set_yaml broadcast_rpc_address "${CASSANDRA_BROADCAST_RPC_ADDRESS:-$broadcast}"
set_yaml cluster_name "'${CASSANDRA_CLUSTER_NAME:-Test Cluster}'"
set_yaml endpoint_snitch "${CASSANDRA_ENDPOINT_SNITCH:-SimpleSnitch}"
sed -i "s|seeds:.*|seeds: \"${CASSANDRA_SEEDS:-$broadcast}\"|" "$CASSANDRA_CONF/cassandra.yaml"
printf 'dc=%s\nrack=%s\n' "${CASSANDRA_DC:-dc1}" "${CASSANDRA_RACK:-rack1}" > "$CASSANDRA_CONF/cassandra-rackdc.properties"
exec "$@"
