#!/bin/bash
# Builds the image of PySpark and its connectors, and of DuckDB: the peer of `make bench`, and a reader of raw files.
set -euo pipefail
source "$(dirname "$0")/steps.sh"
source "$(dirname "$0")/settings.sh"

spark=integration/bench/spark jars=$downloads/bench-spark
if [[ ! -e $jars/.complete ]]; then
  need_maven
  run spark-jars mvn --batch-mode --quiet -f "$spark/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars/jars"
  touch "$jars/.complete"
fi
spark_image() { tar --create --directory "$spark" . --directory "$jars" jars | build "ecomm-pipeline/bench-spark:$PIPELINE_TAG" -; }
run spark-image spark_image
