#!/bin/bash
# make cluster [VICTIMS='kafka stream']: the pipeline on docker-compose.cluster.yaml, in a project of its own. Events are sent all the
# while; each broker, DataNode, Cassandra node, `stream` and `archive` is killed in turn, and what is sent, archived and written to
# Cassandra meanwhile is counted. In the end every store must have every event once. The stack of `make up` is stopped meanwhile.
set -euo pipefail
source "$(dirname "$0")/prepared.sh"
[[ ${COMPOSE_FILE:-} != *docker-compose.secure.yaml* ]] ||
  fail 'The cluster has no TLS: run this where COMPOSE_FILE in .env does not name docker-compose.secure.yaml.'
"$here/spark_image.sh"
source "$here/jobs.sh"

rate=100   # events a second
least=300  # events that each of produce, stream and archive has to pass on while a server is down

# the stack of `make up` has the ports
mapfile -t stopped < <(docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
[[ ${#stopped[@]} -eq 0 ]] || { step 'stopping the stack'; docker stop "${stopped[@]}" > /dev/null; }

export COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME-cluster COMPOSE_FILE=docker-compose.yaml:docker-compose.cluster.yaml
export KAFKA_BOOTSTRAP_SERVERS=kafka:9092,kafka-2:9092,kafka-3:9092
export KAFKA_ADMIN=$KAFKA_BOOTSTRAP_SERVERS
export CASSANDRA_CONTACT_POINTS=cassandra:9042,cassandra-2:9042,cassandra-3:9042
export ARCHIVE_FLUSH_AGE_SECONDS=5
cql_first="consistency quorum; "   # as stream writes
sender=$COMPOSE_PROJECT_NAME-sender
end() {
  status=$?
  docker rm --force "$sender" > /dev/null 2>&1 || true
  compose down --volumes --remove-orphans > "$logs/cluster-down.log" 2>&1 || step "not removed, see $logs/cluster-down.log"
  [[ ${#stopped[@]} -eq 0 ]] || docker start "${stopped[@]}" > /dev/null || step 'the stack is not as it was: run make up'
  exit "$status"
}
trap end EXIT

is_healthy() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$(container "$1")") == healthy ]]; }
is_running() { [[ $(docker inspect --format '{{.State.Running}}' "$(container "$1")") == true ]]; }
of_namenode() { docker exec "$(container namenode)" bash -c "exec 3<>/dev/tcp/127.0.0.1/9870 &&
  printf 'GET /jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState HTTP/1.0\r\n\r\n' >&3 && cat <&3"; }
# Everything is there as often as it should be.
is_whole() {
  local state
  case $1 in
    kafka*) is_healthy "$1" && [[ -z $(kafka_tool topics --describe --under-replicated-partitions) ]] ;;
    datanode*) state=$(of_namenode) && grep -q 'NumLiveDataNodes" : 3' <<< "$state" && grep -q 'NumStaleDataNodes" : 0' <<< "$state" &&
      grep -q 'UnderReplicatedBlocks" : 0' <<< "$state" ;;
    # nodetool answers a node that is still starting with a stack trace
    cassandra*) [[ $(docker exec "$(container "$1")" nodetool status 2> /dev/null | grep -c ^UN) == 3 ]] ;;
    stream) is_healthy "$1" ;;
    *) is_running "$1" ;;
  esac
}
in_sender() { docker logs --tail 20 "$sender" 2>&1 | sed -nE 's/.* ([0-9]+) records acknowledged.*/\1/p' | tail -n 1; }
# Into `found`: what `produce` counts as acknowledged, and what each store has. Fails where one cannot be asked.
count() {
  local sent archived written
  sent=$(in_sender) && archived=$(in_hdfs) && written=$(in_cassandra) && found="${sent:-0} $archived $written"
}
goes_on() {   # each by so much since `before`
  local now place
  count || return 1
  read -ra now <<< "$found"
  for place in 0 1 2; do ((now[place] - before[place] >= least)) || return 1; done
  gained="$((now[0] - before[0])) $((now[1] - before[1])) $((now[2] - before[2]))"
}
level() { sent=$(in_kafka) && count && [[ ${found#* } == "$sent $sent" ]]; }

step 'starting 3 brokers, 3 DataNodes and 3 Cassandra nodes'
run cluster-up compose up --detach kafka-setup namenode datanode datanode-2 datanode-3 cassandra-setup postgres-setup \
  stream stream-2 archive archive-2
victims=(kafka kafka-2 kafka-3 datanode datanode-2 datanode-3 cassandra cassandra-2 cassandra-3 stream stream-2 archive archive-2)
for service in "${victims[@]}"; do eventually 180 "$service" is_whole "$service"; done
docker run --detach --name "$sender" --network "$COMPOSE_PROJECT_NAME" --env KAFKA_BOOTSTRAP_SERVERS \
  "ecomm-pipeline/produce:$PIPELINE_TAG" --rate "$rate" --seed 8 > /dev/null
before=(0 0 0)
eventually 300 'events get through' goes_on

passed=0 failed=0
table=$(printf '  %-14s %10s %10s %10s %10s %10s' killed sent archived written 'down, s' 'whole, s')
for victim in ${VICTIMS:-${victims[@]}}; do
  # questions go to a server that lives
  [[ $victim == kafka ]] && kafka_beside=kafka-2 || kafka_beside=kafka
  [[ $victim == cassandra ]] && cassandra_beside=cassandra-2 || cassandra_beside=cassandra
  id=$(container "$victim")
  eventually 300 'every store can be asked' count
  read -ra before <<< "$found"
  begun=$SECONDS
  docker kill "$id" > /dev/null
  gained='- - -' outcome=passed
  until goes_on; do
    ((SECONDS < begun + 180)) || { outcome=FAILED; break; }
    sleep 1
  done
  down=$((SECONDS - begun))
  docker start "$id" > /dev/null
  begun=$SECONDS
  until is_whole "$victim"; do
    ((SECONDS < begun + 300)) || { outcome=FAILED; break; }
    sleep 1
  done
  # shellcheck disable=SC2086   # three words
  row=$(printf '  %-14s %10s %10s %10s %10d %10d' "$victim" $gained "$down" $((SECONDS - begun)))
  step "$row $outcome"
  table+=$'\n'$row
  [[ $outcome == passed ]] && passed=$((passed + 1)) || failed=$((failed + 1))
done

step 'no more is sent'
docker stop --time 30 "$sender" > /dev/null
acked=$(docker logs "$sender" 2> /dev/null | field acked)
eventually 300 'every store has what was sent' level
[[ $acked == "$sent" ]] || { failed=$((failed + 1)); step "produce counts $acked acknowledged records, Kafka has $sent"; }
job catalog > /dev/null
job load > /dev/null
job dbt > /dev/null
step 'comparing every store, record by record'
# in a shell of its own: it ends with 2 where anything differs
(job audit | head -n -1) && passed=$((passed + 1)) || failed=$((failed + 1))

step 'packing raw files, as though they were old'
docker exec "$(container namenode)" bash -c 'hdfs dfs -touch -m -t 20200101:000000 $(hdfs dfs -ls -R "$1" | grep "\.parquet$" | sed "s/.* //")' - "/raw/$topic"
packed=$(job maintain --pack-files 2 | field files_packed)
printf '  %s raw files\n' "$packed"
((packed > 0)) && passed=$((passed + 1)) || failed=$((failed + 1))
step 'reading the raw files with PySpark and with DuckDB'
raw=$COMPOSE_PROJECT_NAME-raw
reader() {   # COMMAND...: its last line
  docker run --rm --network "$COMPOSE_PROJECT_NAME" --volume "$raw:/files:ro" --volume "$root/integration/readers:/readers:ro" \
    --entrypoint "$1" "ecomm-pipeline/bench-spark:$PIPELINE_TAG" "${@:2}" 2> "$logs/reader.log" | tail -n 1
}
docker run --rm --user 0 --network "$COMPOSE_PROJECT_NAME" --volume "$raw:/files" --env CORE-SITE.XML_fs.defaultFS=hdfs://namenode:8020 \
  apache/hadoop:3.4.3 hdfs dfs -get /raw/LogEvents /files > "$logs/get.log" 2>&1
by_spark=$(reader spark-submit --master 'local[2]' /readers/read_with_spark.py hdfs://namenode:8020/raw/LogEvents)
by_duckdb=$(reader python /readers/read_with_duckdb.py /files/LogEvents)
docker volume rm "$raw" > /dev/null
printf '  PySpark %s\n  DuckDB  %s\n' "$by_spark" "$by_duckdb"
for found in "$by_spark" "$by_duckdb"; do
  [[ $(field records <<< "$found") == "$sent" && $(field positions <<< "$found") == "$sent" && $found == "$by_duckdb" ]] &&
    passed=$((passed + 1)) || failed=$((failed + 1))
done

printf '\nevents that went on while it was down, seconds that it was down, seconds until everything was there three times again:\n%s\n' "$table"
for service in archive archive-2 stream stream-2; do
  printf '  %s ended by itself %d times\n' "$service" "$(docker inspect --format '{{.RestartCount}}' "$(container "$service")")"
done
printf '\n%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
[[ $failed == 0 ]]
