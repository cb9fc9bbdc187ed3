"""Reads raw files as any user of PySpark would; the last line is what it found, in JSON."""

import json
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

spark = SparkSession.builder.config("spark.ui.enabled", "false").getOrCreate()
raw = spark.read.option("recursiveFileLookup", "true").parquet(sys.argv[1])
digest = f.conv(f.substring(f.md5(f.coalesce("value", f.lit(b""))), 1, 8), 16, 10).cast("long")
partition = f.element_at(f.split(f.input_file_name(), "/"), -2)
found = raw.select(partition.alias("partition"), "offset", digest.alias("digest")).agg(
    f.count("*").alias("records"),
    f.count_distinct("partition", "offset").alias("positions"),
    f.sum("digest").alias("digest"),
)
print(json.dumps(found.first().asDict()))
