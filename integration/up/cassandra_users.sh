#!/bin/bash
# cassandra_users.sh HOST FILE: the tables of FILE on a Cassandra that asks for logins, and a role for each who needs one.
#   stream   reads and writes the keyspace logs: the service, and the jobs of the DAGs     reader   reads it: Grafana
# Passwords: /run/secrets/CASSANDRA_ROLE_PASSWORD, in capitals; CASSANDRA_ADMIN_PASSWORD becomes that of the superuser
# `cassandra`, whose first one everybody knows. Running it again changes nothing.
set -euo pipefail
host=$1 tables=$2
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# passwords and statements in files, since a command line is everybody's to read
secret() { cat "/run/secrets/CASSANDRA_${1^^}_PASSWORD"; }
login() { printf '[PlainTextAuthProvider]\nusername = %s\npassword = %s\n' "$1" "$2" > "$work/login"; }
ask() { cqlsh --request-timeout=60 --credentials "$work/login" --file "$1" "$host"; }
echo 'describe cluster' > "$work/hello.cql"

# A new server makes its superuser some seconds after its start.
for attempt in {1..60}; do
  login cassandra "$(secret admin)"
  if ask "$work/hello.cql" > "$work/log" 2>&1; then break; fi
  login cassandra cassandra
  printf "alter role cassandra with password = '%s';\n" "$(secret admin)" > "$work/first.cql"
  ask "$work/first.cql" > "$work/log" 2>&1 || sleep 1
done
login cassandra "$(secret admin)"
ask "$work/hello.cql" > /dev/null || { echo "no login after $attempt tries" >&2; exit 1; }

ask "$tables"
for role in stream reader; do
  printf "create role if not exists %s with login = true and password = '%s';\n" "$role" "$(secret "$role")"
  printf 'grant select on keyspace logs to %s;\n' "$role"
done > "$work/roles.cql"
echo 'grant modify on keyspace logs to stream;' >> "$work/roles.cql"
ask "$work/roles.cql"
# A password that has changed since: the server takes a new one for a role every five seconds at most, so not of all.
for role in stream reader; do
  login "$role" "$(secret "$role")"
  if ! ask "$work/hello.cql" > /dev/null 2>&1; then
    login cassandra "$(secret admin)"
    printf "alter role %s with password = '%s';\n" "$role" "$(secret "$role")" > "$work/changed.cql"
    ask "$work/changed.cql"
  fi
done
