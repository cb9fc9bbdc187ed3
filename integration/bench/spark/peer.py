"""The same jobs in PySpark, tuned as its users would; the last line is `PEER {...}`, in JSON."""

import argparse
import json
import sys
import time

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

TEXT, NUMBER, MONEY = StringType(), IntegerType(), DoubleType()


def struct(**fields):
    return StructType([StructField(name, kind) for name, kind in fields.items()])


EVENT = struct(
    timestamp=TEXT,
    level=TEXT,
    service=TEXT,
    event_type=TEXT,
    event_id=TEXT,
    user_id=TEXT,
    session_id=TEXT,
    product_id=TEXT,
    session_duration=NUMBER,
    device_type=TEXT,
    geo_location=struct(country=TEXT, city=TEXT),
    details=struct(
        amount=MONEY,
        payment_method=TEXT,
        items=ArrayType(struct(product_id=TEXT, quantity=NUMBER)),
        shipping_address=TEXT,
        query=TEXT,
        results_count=NUMBER,
        searched_at=TEXT,
        order_id=TEXT,
        shipping_method=TEXT,
        delivery_estimate=TEXT,
        completed_at=TEXT,
        attempted_amount=MONEY,
        failed_at=TEXT,
    ),
    error_code=TEXT,
    message=TEXT,
    error_at=TEXT,
)


def session(options) -> SparkSession:
    host, _, port = options.cassandra.partition(":")
    builder = (
        SparkSession.builder.appName("peer")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.serializer", "org.apache.spark.serializer.KryoSerializer")
        .config("spark.hadoop.fs.defaultFS", options.hdfs)
        .config("spark.hadoop.dfs.replication", "1")
        .config("spark.cassandra.connection.host", host)
        .config("spark.cassandra.connection.port", port or "9042")
        .config("spark.cassandra.connection.localConnectionsPerExecutor", "2")
        # batches of rows of one partition, as large as the task has them; with 32 under way it is slower
        .config("spark.cassandra.output.batch.grouping.key", "partition")
        .config("spark.cassandra.output.batch.size.rows", "300")
        .config("spark.cassandra.output.concurrent.writes", "16")
        .config("spark.cassandra.output.ignoreNulls", "true")
        .config("spark.cassandra.output.consistency.level", "LOCAL_QUORUM")
    )
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def records(spark: SparkSession, options) -> DataFrame:
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", options.kafka)
        .option("subscribe", options.topic)
        .option("startingOffsets", "earliest" if options.drain else "latest")
        .option("failOnDataLoss", "true")
        .option("kafka.max.partition.fetch.bytes", str(8 << 20))
        .option("kafka.max.poll.records", "5000")
        .load()
    )


def parsed(raw: DataFrame) -> DataFrame:
    event = f.from_json(f.col("value").cast("string"), EVENT).alias("e")
    return raw.select("partition", "offset", "timestamp", event).select(
        f.col("partition"), f.col("offset"), f.col("timestamp").alias("kafka_time"), "e.*"
    )


def run(spark: SparkSession, writer, options) -> dict:
    """Until caught up, or for --seconds with the default trigger."""
    writer = writer.option("checkpointLocation", options.out + "_checkpoint")
    if options.drain:
        writer = writer.trigger(availableNow=True)
    begun = time.time()
    query = writer.start()
    if options.drain:
        query.awaitTermination()
    else:
        print("PEER following", flush=True)
        time.sleep(options.seconds)
        query.stop()
    rows = sum(batch["numInputRows"] for batch in query.recentProgress)
    return {"rows": rows, "seconds": time.time() - begun}


def to_json(spark, options):
    """Parsed events as JSON lines: what the pipeline that this project replaces wrote."""
    writer = parsed(records(spark, options)).writeStream.format("json")
    return run(spark, writer.option("path", options.out), options)


def to_parquet(spark, options):
    """Records as received, zstd Parquet: what `archive` writes."""
    columns = records(spark, options).select("partition", "offset", "timestamp", "key", "value")
    writer = columns.writeStream.format("parquet").option("compression", "zstd")
    return run(spark, writer.option("path", options.out), options)


def to_cassandra(spark, options):
    """The columns of ecomm_log."""
    e = parsed(records(spark, options))
    at = f.to_timestamp("timestamp")
    rows = e.where(f.col("event_type").isNotNull()).select(
        "event_type",
        f.to_date(at).alias("event_date"),
        (f.col("partition") % 16).alias("shard"),
        at.alias("timestamp"),
        "event_id",
        "user_id",
        "session_id",
        "product_id",
        "level",
        "service",
        "session_duration",
        "device_type",
        f.col("geo_location.country").alias("geo_country"),
        f.col("geo_location.city").alias("geo_city"),
        f.col("details.amount").alias("details_amount"),
        f.col("details.payment_method").alias("details_payment_method"),
        f.to_json("details.items").alias("details_items"),
        f.col("details.order_id").alias("details_order_id"),
        f.col("details.query").alias("details_query"),
        f.col("details.results_count").alias("details_results_count"),
        f.col("details.shipping_method").alias("details_shipping_method"),
        f.col("details.delivery_estimate").alias("details_delivery_estimate"),
        f.to_timestamp("details.completed_at").alias("details_completed_at"),
        f.col("details.shipping_address").alias("details_shipping_address"),
        "error_code",
        "message",
        f.to_timestamp("error_at").alias("error_at"),
        f.col("details.attempted_amount").alias("attempted_amount"),
        f.to_timestamp("details.failed_at").alias("failed_at"),
        f.col("partition").alias("kafka_partition"),
        f.col("offset").alias("kafka_offset"),
    )
    writer = rows.writeStream.format("org.apache.spark.sql.cassandra")
    writer = writer.option("keyspace", options.keyspace).option("table", "ecomm_log")
    return run(spark, writer.outputMode("append"), options)


def to_postgres(spark, options):
    """Raw files of the chain into a table with the columns of raw.log_event."""
    raw = spark.read.parquet(options.out + "/*/*.parquet")
    event = f.from_json(f.col("value").cast("string"), EVENT).alias("e")
    e = raw.select("offset", f.col("timestamp").alias("kafka_time"), event).select(
        "offset", "kafka_time", "e.*"
    )
    items = f.col("details.items")
    rows = e.select(
        f.lit(1).cast("long").alias("load_id"),
        f.lit(0).alias("kafka_partition"),
        f.col("offset").alias("kafka_offset"),
        f.timestamp_millis(f.col("kafka_time").cast("long")).alias("kafka_time"),
        "event_id",
        f.to_timestamp("timestamp").alias("event_time"),
        *("level", "service", "event_type", "user_id", "session_id", "product_id"),
        *("session_duration", "device_type"),
        f.col("geo_location.country").alias("geo_country"),
        f.col("geo_location.city").alias("geo_city"),
        "details.amount",
        "details.payment_method",
        f.to_json(items).alias("items"),
        f.aggregate(items, f.lit(0), lambda total, item: total + item.quantity).alias("quantity"),
        *("details.shipping_address", "details.query", "details.results_count"),
        f.to_timestamp("details.searched_at").alias("searched_at"),
        *("details.order_id", "details.shipping_method", "details.delivery_estimate"),
        f.to_timestamp("details.completed_at").alias("completed_at"),
        "details.attempted_amount",
        f.to_timestamp("details.failed_at").alias("failed_at"),
        *("error_code", "message"),
        f.to_timestamp("error_at").alias("error_at"),
    )
    begun = time.time()
    (
        rows.repartition(2)
        .write.format("jdbc")
        .option("url", options.jdbc + "&reWriteBatchedInserts=true")
        .option("driver", "org.postgresql.Driver")
        .option("dbtable", options.table)
        .option("batchsize", "10000")
        .mode("append")
        .save()
    )
    return {"seconds": time.time() - begun}


def nothing(spark, options):
    """A session, and the first row of work."""
    return {"rows": spark.range(1).count(), "seconds": 0}


JOBS = {job.__name__: job for job in (to_json, to_parquet, to_cassandra, to_postgres, nothing)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("job", choices=JOBS)
    arguments.add_argument("--topic")
    arguments.add_argument("--out", help="directory on HDFS to write, or of the raw files to read")
    arguments.add_argument("--kafka", default="kafka:9092")
    arguments.add_argument("--hdfs", default="hdfs://namenode:8020")
    arguments.add_argument("--cassandra", default="cassandra:9042")
    arguments.add_argument("--keyspace")
    arguments.add_argument("--jdbc", help="with user and password")
    arguments.add_argument("--table")
    arguments.add_argument("--seconds", type=float, help="follow for so long instead of draining")
    options = arguments.parse_args()
    options.drain = options.seconds is None
    begun = time.time()
    spark = session(options)
    started = time.time() - begun
    result = JOBS[options.job](spark, options)
    print("PEER " + json.dumps({**result, "start_seconds": started}), flush=True)
    spark.stop()


sys.exit(main())
