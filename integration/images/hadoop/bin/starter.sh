#!/bin/bash
# NAME.XML_property=value environment -> $HADOOP_CONF_DIR/name.xml, as the official image does; then the command.
set -euo pipefail
escape() { sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' <<< "$1"; }

declare -A properties
while IFS='=' read -r -d '' name value; do   # such names are no shell variables: they are only in the environment block
  if [[ $name =~ ^([A-Z-]+)\.XML_(.+)$ ]]; then
    file=${BASH_REMATCH[1],,}.xml
    properties[$file]+="<property><name>$(escape "${BASH_REMATCH[2]}")</name><value>$(escape "$value")</value></property>"$'\n'
  fi
done < /proc/self/environ
for file in "${!properties[@]}"; do
  printf '<?xml version="1.0"?>\n<configuration>\n%s</configuration>\n' "${properties[$file]}" > "$HADOOP_CONF_DIR/$file"
done

# A new volume is formatted once; one that holds a file system never.
if [[ -n ${ENSURE_NAMENODE_DIR:-} && ! -e $ENSURE_NAMENODE_DIR ]]; then
  hdfs namenode -format -force -nonInteractive
fi
exec "$@"
