"""
### Is the star fresh, and what did yesterday bring?

Runs whenever a task has brought the asset `marts` up to date, beside the pipeline and never in its way. Asks
as `bi_reader`, the role that reports use, so it also shows that reports can read.

The XCom is one JSON object: of the events that happened in the ten minutes before the form's patience began,
how many are loaded, and how many of these the star holds; and yesterday's orders and revenue.

It fails when the star holds less than half of them: then a run was green and the star did not get what is
loaded. A generator that stands still is no fault: then nothing is loaded that the star could miss. Single
events that are missing are the business of `audit`, which counts each.

An example, too: any DAG with `schedule=[MARTS]` runs after the star was built.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task
from airflow.sdk.exceptions import AirflowFailException

from assets import MARTS
from pipeline_job import DEFAULT_ARGS, read_secret

# event_timeline shows what is loaded as soon as it is, and asks for a range of event_at.
REPORT = """
with recent as (
    select event_id
    from marts.event_timeline
    where event_at >= now() - make_interval(mins => %(patience)s + 10)
        and event_at < now() - make_interval(mins => %(patience)s)
)
select
    count(*) as loaded,
    count(fact.event_id) as in_star,
    (
        select to_json(yesterday)
        from (
            select orders, revenue, lost_orders, lost_revenue
            from marts.daily_revenue
            where date_sk = to_char(now() at time zone 'UTC' - interval '1 day', 'YYYYMMDD')::integer
        ) as yesterday
    ) as yesterday
from recent left join marts.fact_event as fact using (event_id)
"""


@task(
    pool="postgres",
    retries=3,
    retry_delay=timedelta(seconds=20),
    retry_exponential_backoff=2,
    execution_timeout=timedelta(minutes=6),  # the role's queries end after five
    doc_md="One query, as a report would ask it. What it finds is the XCom.",
)
def report(params: dict[str, Any]) -> dict[str, Any]:
    """Ask as bi_reader; fail if the star is stale."""
    import psycopg2

    session = psycopg2.connect(
        host=os.environ.get("POSTGRES_HOST") or "postgres",
        user="bi_reader",
        password=read_secret("BI_READER_PASSWORD"),
        dbname=os.environ.get("POSTGRES_DB") or "airflow",
    )
    try:
        with session.cursor() as cursor:
            cursor.execute(REPORT, {"patience": params["patience_minutes"]})
            loaded, in_star, yesterday = cursor.fetchone()
    finally:
        session.close()
    # less than half, because events that are late may have been loaded since the star was built
    if in_star * 2 < loaded:
        raise AirflowFailException(
            f"the star has {in_star} of {loaded} loaded events: see the log of dbt in batch_hdfs_to_postgres"
        )
    return {"loaded": loaded, "in_star": in_star, "yesterday": yesterday}


with DAG(
    dag_id="star_report",
    description="After the star was built: freshness, and yesterday's revenue",
    doc_md=__doc__,
    schedule=[MARTS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params={
        "patience_minutes": Param(
            30,
            type="integer",
            minimum=1,
            title="Patience (minutes)",
            description="Events that happened so long ago should be in the star: two or three runs.",
        ),
    },
    default_args=DEFAULT_ARGS,
    tags=["ecomm-pipeline", "report"],
):
    report()
