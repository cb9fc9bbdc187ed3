"""
### Rejects, parsed again

```
load --replay-rejects ───► audit ───► dbt
```

After a fix of the parser or of the event contract: `load` reads the rejects in PostgreSQL again. What is an
event now moves to `raw.log_event`, once, and leaves the rejects; `dbt` brings it into the star. The rest
stays, under its reason of today. The XCom of `load` says how many were healed, and what the others are
rejected for.

It may be run as often as you like, beside everything else.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from assets import MARTS, RAW
from pipeline_job import DEFAULT_ARGS, PipelineJob, option

REASONS = [
    "tombstone",
    "empty",
    "not_utf8",
    "not_json",
    "not_an_object",
    "duplicate_key",
    "nul_character",
    "lone_surrogate",
    "missing_field",
    "wrong_type",
    "unknown_event_type",
    "bad_timestamp",
    "out_of_range",
]

PARAMS = {
    "reason": Param(
        "all",
        enum=["all", *REASONS],
        title="Reason",
        values_display={name: name.replace("_", " ") for name in ["all", *REASONS]},
        description="Only what was rejected for this. raw.reject tells how many there are of each.",
    ),
    "partition": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Kafka partition",
        description="Empty: all.",
    ),
    "since": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Since",
        description="Only records that Kafka got at this time or later. Empty: from the first.",
    ),
    "until": Param(
        None,
        type=["null", "string"],
        format="date-time",
        title="Until",
        description="Only records that Kafka got before this time. Empty: to the last.",
    ),
}

with DAG(
    dag_id="replay_rejects",
    description="Rejects, parsed again → star schema",
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
    load = PipelineJob(
        task_id="load",
        command=[
            "--replay-rejects",
            "{{ '' if params.reason == 'all' else '--reason=' ~ params.reason }}",
            option("partition"),
            option("since"),
            option("until"),
        ],
        secrets={"POSTGRES_PASSWORD": "LOADER_PASSWORD"},
        pool="postgres",
        outlets=[RAW],
        doc_md="Rejects, parsed again: what is an event now moves to `raw.log_event`, the rest stays.",
    )
    audit = PipelineJob(
        task_id="audit",
        secrets={"POSTGRES_PASSWORD": "AUDITOR_PASSWORD"},
        pool="postgres",
        doc_md="Compares the files of healed rejects with every store. **Fails with 2** on a difference.",
    )
    dbt = PipelineJob(
        task_id="dbt",
        secrets={"TRANSFORMER_PASSWORD": "TRANSFORMER_PASSWORD"},
        pool="postgres",
        inlets=[RAW],
        outlets=[MARTS],
        mem_limit="512m",
        doc_md="Brings the healed events into the star.",
    )

    load >> audit >> dbt
