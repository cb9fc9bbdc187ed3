"""
### Kafka to star schema, every ten minutes

```
            ┌─► catalog ─┐
archive ────┤            ├───► audit ───► dbt
            └─► load ────┘
```

| task | what it does |
|---|---|
| `archive` | Kafka → raw files in HDFS, up to the end of the topic as it is when the task starts |
| `catalog` | users.json and products.json → PostgreSQL `raw`; only what changed |
| `load` | new raw files → PostgreSQL `raw`, each in one transaction with its row in the ledger |
| `audit` | each new raw file, record by record, against Kafka, PostgreSQL, Cassandra and the star |
| `dbt` | what is new in `raw` → the star in `marts`, with tests |

Every task picks up where the last run ended, so a run that failed is repaired by the next one, and a run with
nothing new is a quick success. A task that fails is tried again, unless it says that a person is needed (exit
code 2): its log says what to do. A raw file that cannot be read fails one run, loudly; the next ones go on
without it. A difference between the stores that nothing explains fails `audit`, and the star is not built
from it. The XCom of each task is its summary.

`load` brings the asset `raw` up to date, `dbt` the asset `marts`: DAGs that are scheduled on them run after
each. A scheduled run that is not over ten minutes after its time is told to people, and so is a task that
failed for good, where there is a connection `pipeline_alerts`.
"""

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, Param, SyncCallback

from assets import MARTS, RAW
from notifier import run_late
from pipeline_job import DEFAULT_ARGS, PipelineJob, option

PARAMS = {
    "flush_mib": Param(
        32,
        type="integer",
        minimum=1,
        maximum=64,
        title="Raw file size (MiB)",
        description="archive: a raw file is closed when its records take this much memory.",
    ),
    "change_ratio": Param(
        0.0,
        type="number",
        minimum=0,
        maximum=1,
        title="Products to change",
        description="catalog: share of the products whose price and stock change before they are loaded, "
        "so that the product history has something to hold. 0.05 is 5 %.",
    ),
    "change_seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=2**53 - 1,  # what a browser counts exactly
        title="Seed of the changes",
        description="catalog: the same seed changes the same products to the same values, so a second try "
        "changes nothing more. Empty: today's date.",
    ),
    "full_refresh": Param(
        False,
        type="boolean",
        title="Rebuild the star",
        description="dbt: build the facts anew from everything in raw, rather than from what is new. "
        "Takes as long as there is history.",
    ),
    "log_level": Param(
        "info",
        enum=["error", "warn", "info", "debug"],
        title="Log level",
        description="Of every task.",
    ),
}

# then the next run should begin
DEADLINE_SECONDS = float(os.environ.get("BATCH_DEADLINE_SECONDS") or 600)

LOG_LEVEL = {"RUST_LOG": "{{ params.log_level }}"}
LOADER = {"POSTGRES_PASSWORD": "LOADER_PASSWORD"}
AUDITOR = {"POSTGRES_PASSWORD": "AUDITOR_PASSWORD"}
TRANSFORMER = {"TRANSFORMER_PASSWORD": "TRANSFORMER_PASSWORD"}

with DAG(
    dag_id="batch_hdfs_to_postgres",
    description="Kafka → HDFS → PostgreSQL → star schema",
    doc_md=__doc__,
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    deadline=DeadlineAlert(
        name="over in ten minutes",
        # not DAGRUN_QUEUED_AT: with it Airflow 3.3 cannot clear a task (it takes the interval for a number)
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=timedelta(seconds=DEADLINE_SECONDS),
        # a sync one runs in the scheduler's executor: there is no triggerer
        callback=SyncCallback(run_late, kwargs={"limit_seconds": DEADLINE_SECONDS}),
    ),
    tags=["ecomm-pipeline", "every ten minutes"],
):
    archive = PipelineJob(
        task_id="archive",
        command=[option("flush_mib")],
        environment=LOG_LEVEL,
        pool="hdfs",
        doc_md="""Kafka → raw files in HDFS, each record once. Sweeps temporary files of killed runs, too.

**Fails with 2**: Kafka has deleted records before they were archived, or the topic was made anew. Its last
line says which option decides what becomes of that: nothing is skipped in silence.""",
    )
    catalog = PipelineJob(
        task_id="catalog",
        command=[option("change_ratio"), option("change_seed")],
        environment=LOG_LEVEL,
        secrets=LOADER,
        pool="postgres",
        execution_timeout=timedelta(minutes=10),
        doc_md="""users.json and products.json → `raw.user_profile`, `raw.product`; only rows that changed.

**Fails with 2**: a row of a file is not as it should be. Its last line names it; nothing was written.""",
    )
    load = PipelineJob(
        task_id="load",
        environment=LOG_LEVEL,
        secrets=LOADER,
        pool="postgres",
        outlets=[RAW],
        doc_md="""Raw files that the ledger `ops.load_file` does not have → `raw.log_event`, `raw.reject`; a
transaction per file.

**Fails with 2**: a raw file cannot be read, and is quarantined. The others are loaded; restore it, then run
`load --retry-quarantined`. The next run goes on without it.""",
    )
    audit = PipelineJob(
        task_id="audit",
        environment=LOG_LEVEL,
        secrets=AUDITOR,
        pool="postgres",
        doc_md="""Compares each new raw file with Kafka, PostgreSQL, Cassandra and the star, record by record.

**Fails with 2**: a difference that nothing explains; which offsets is in `ops.audit_latest`, column `detail`.
The star is not built until it is mended, or accepted with `audit --accept`.""",
    )
    dbt = PipelineJob(
        task_id="dbt",
        command=[option("full_refresh"), option("log_level")],
        secrets=TRANSFORMER,
        pool="postgres",
        inlets=[RAW],
        outlets=[MARTS],
        mem_limit="512m",
        doc_md="""What is new in `raw` → the star in `marts`, with tests. One run at a time, by a lock.

**Fails with 2**: a test failed; the rows that it found are in the schema `test_failures`.""",
    )

    archive >> [catalog, load] >> audit >> dbt
