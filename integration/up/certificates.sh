#!/bin/bash
# certificates.sh FOLDER [HOST...]: an authority, and a certificate from it for each server's names, for docker-compose.secure.yaml.
# Makes what is not there yet, and leaves alone what is. Needs openssl.
#   FOLDER/ca.pem                        what clients are given
#   FOLDER/kafka.pem, postgres.{crt,key} what servers are given: HOSTs are further names of both
set -euo pipefail
folder=${1:?usage: certificates.sh FOLDER [HOST...]}
shift
names=DNS:localhost
for name in kafka postgres "$@"; do names+=,DNS:$name; done
install -d -m 700 "$folder"
cd "$folder"
days=825

if [[ ! -e ca.pem ]]; then
  (umask 077 && openssl req -x509 -newkey rsa:2048 -nodes -days "$days" -subj '/CN=ecomm-pipeline authority' \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem 2> /dev/null)
fi
for server in kafka postgres; do
  [[ ! -e $server.crt ]] || continue
  (
    umask 077
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$server" -keyout "$server.key" -out "$server.csr" 2> /dev/null
    openssl x509 -req -in "$server.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$days" -out "$server.crt" \
      -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names") 2> /dev/null
  )
  rm "$server.csr"
done
cat kafka.key kafka.crt ca.pem > kafka.pem
# A key that compose mounts is its server's to read, whoever that is in the container: nobody else gets into the folder.
chmod 444 ca.pem kafka.pem ./*.crt postgres.key
