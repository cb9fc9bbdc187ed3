"""
### Backfill: a part of the raw files, once more

```
          ┌─► load ───► dbt
stores ───┤
          └─► stream
```

Reads the raw files of a partition, of a range of offsets, or of a span of time again, into the stores that
the form names.

- **postgres**: `load` brings files that are missing or quarantined. With *Replace*, those that are there are
  loaded anew too, each in one transaction. Whole files: those that hold any such record. Then `dbt`.
- **cassandra**: `stream --from-chain` writes rows and counts again, which changes nothing that is right.
  Whole blocks of 50,000 offsets.

It may be run as often as you like, beside everything else; nothing comes twice. Files are read whole to find
a span of time, so offsets are the quicker way. For all of the history: `make rebuild`.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.sdk import DAG, Param

from assets import MARTS, RAW
from pipeline_job import DEFAULT_ARGS, PipelineJob, option

WHICH = "Which records (all of them, if nothing is filled in)"
HOW = "What becomes of rows that are there already"

PARAMS = {
    "store": Param(
        "both",
        enum=["both", "postgres", "cassandra"],
        values_display={
            "both": "PostgreSQL and Cassandra",
            "postgres": "PostgreSQL",
            "cassandra": "Cassandra",
        },
        title="Store",
        description="Where the records are written once more.",
    ),
    "partition": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Kafka partition",
        section=WHICH,
        description="Empty: all. Offsets need one.",
    ),
    "from_offset": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="From offset",
        section=WHICH,
        description="Empty: from the first.",
    ),
    "to_offset": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="To offset",
        section=WHICH,
        description="Not included. Empty: to the last.",
    ),
    "since": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Since",
        section=WHICH,
        description="Only records that Kafka got at this time or later. Empty: from the first.",
    ),
    "until": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Until",
        section=WHICH,
        description="Only records that Kafka got before this time. Empty: to the last.",
    ),
    "reload": Param(
        False,
        type="boolean",
        title="Replace",
        section=HOW,
        description="PostgreSQL: load files anew that are loaded already. Needs a partition or a time.",
    ),
    "full_refresh": Param(
        False,
        type="boolean",
        title="Rebuild the star",
        section=HOW,
        description="dbt: needed where replaced rows have other values than before, since the star keeps the "
        "first copy of an event. Takes as long as there is history.",
    ),
}

SELECTION = [option(name) for name in ("partition", "from_offset", "to_offset", "since", "until")]

with DAG(
    dag_id="backfill",
    description="A part of the raw files → PostgreSQL, star, Cassandra",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["ecomm-pipeline", "on request"],
):
    stores = BranchPythonOperator(
        task_id="stores",
        python_callable=lambda params: {"postgres": "load", "cassandra": "stream"}.get(
            params["store"], ["load", "stream"]
        ),
        doc_md="Which of both branches are run: what the form says of the store.",
    )
    load = PipelineJob(
        task_id="load",
        command=[*SELECTION, "{{ '--reload' if params.reload else '' }}"],
        secrets={"POSTGRES_PASSWORD": "LOADER_PASSWORD"},
        pool="postgres",
        outlets=[RAW],
        execution_timeout=timedelta(hours=3),
        doc_md="Raw files → PostgreSQL once more. A file that is replaced is so in one transaction.",
    )
    stream = PipelineJob(
        task_id="stream",
        command=["--from-chain", *SELECTION],
        pool="hdfs",
        execution_timeout=timedelta(hours=3),
        doc_md="Raw files → Cassandra once more: the same rows under the same keys.",
    )
    dbt = PipelineJob(
        task_id="dbt",
        command=[option("full_refresh")],
        secrets={"TRANSFORMER_PASSWORD": "TRANSFORMER_PASSWORD"},
        pool="postgres",
        inlets=[RAW],
        outlets=[MARTS],
        mem_limit="512m",
        doc_md="Brings what was loaded into the star.",
    )

    stores >> [load, stream]
    load >> dbt
