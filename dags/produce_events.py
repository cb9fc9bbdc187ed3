"""
### Produce events on request

Sends generated events to Kafka, then ends; `batch_hdfs_to_postgres` takes them from there. The XCom is what
was sent: events by type and sums of amounts, to compare with the star.

With a first day, the same form makes the same events, ids included, which the star then holds once.
Without, they carry the time at which they are sent.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from pipeline_job import DEFAULT_ARGS, PipelineJob, option


def ratio(title: str, description: str) -> Param:
    """Return a field for a share of the events."""
    return Param(0.0, type="number", minimum=0, maximum=1, title=title, description=description)


PARAMS = {
    "count": Param(
        10_000,
        type="integer",
        minimum=1,
        maximum=10_000_000,
        title="Events",
        description="How many events to send.",
    ),
    "rate": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1_000_000,
        title="Events per second",
        description="Empty: as fast as Kafka takes them.",
    ),
    "seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=2**53 - 1,  # what a browser counts exactly
        title="Seed",
        description="Empty: other events every time.",
    ),
    "start": Param(
        None,
        type=["null", "string"],
        format="date",
        title="First day",
        description="Empty: events happen now, or in the days before now.",
    ),
    "history_days": Param(
        None,
        type=["null", "number"],
        minimum=1,
        maximum=3650,
        title="Days of history",
        description="Spread the events over so many days, busy by day and quiet by night. "
        "Empty: as fast as they are sent.",
    ),
    "duplicate_ratio": ratio("Duplicates", "Share of the events that are sent twice, with the same id."),
    "late_ratio": ratio("Late events", "Share of the events that are sent long after they happened."),
    "malformed_ratio": ratio("Malformed events", "Share of records that break the contract, to see rejects."),
}

with DAG(
    dag_id="produce_events",
    description="Generated events → Kafka",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=4,
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["ecomm-pipeline", "on request"],
):
    PipelineJob(
        task_id="produce",
        command=[option(name) for name in PARAMS],
        execution_timeout=timedelta(hours=3),
        pool="generator",
        doc_md="Generated events → Kafka. Not tried again when it fails: what was sent stays sent.",
        retries=0,  # a second try would send the first one's events again
    )
