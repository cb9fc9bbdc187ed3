#!/bin/bash
# Runs beside a broker that asks for logins, on its loopback: the topic, a user for each who needs one, and what they may do.
#   produce   write the topic          stream   read it in any group          pipeline   both: the jobs of the DAGs
# Passwords: /run/secrets/KAFKA_USER_PASSWORD, in capitals. TOPIC is LogEvents unless it is set.
set -euo pipefail
broker=--bootstrap-server=127.0.0.1:9094
topic=${TOPIC:-LogEvents}
export KAFKA_HEAP_OPTS=-Xmx128m

/opt/kafka/bin/kafka-topics.sh "$broker" --create --if-not-exists --topic="$topic" --partitions=4 --replication-factor=1 \
  --config=message.timestamp.type=LogAppendTime

login() {
  local file=/tmp/login.$1
  # from a file, since a command line is everybody's to read
  (umask 077 && printf 'SCRAM-SHA-512=iterations=8192,password=%s\n' "$(< "/run/secrets/KAFKA_${1^^}_PASSWORD")" > "$file")
  /opt/kafka/bin/kafka-configs.sh "$broker" --alter --entity-type users --entity-name "$1" --add-config-file "$file"
  rm "$file"
}
allow() { /opt/kafka/bin/kafka-run-class.sh org.apache.kafka.tools.AclCommand "$broker" --add --force "$@" > /dev/null; }

for user in produce stream pipeline; do login "$user"; done
allow --allow-principal User:produce --allow-principal User:pipeline --producer --topic "$topic"
allow --allow-principal User:stream --allow-principal User:pipeline --consumer --topic "$topic" --group '*'
