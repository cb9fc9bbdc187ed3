-- Over the whole history, so not in every build: `dbt test --select tag:history`. Right when no load is waiting.
{{ config(tags=["history"]) }}

with total as (
    select
        (select coalesce(sum(load_file.record_count), 0) from {{ ref("stg_load_file") }} as load_file) as records,
        (select count(*) from {{ source("raw", "reject") }}) as rejects,
        (
            select count(*) - count(distinct log_event.event_id) from {{ ref("stg_log_event") }} as log_event
        ) as copies,
        (select count(*) from {{ ref("fact_event") }}) as events,
        (select sum(fact_session.events) from {{ ref("fact_session") }} as fact_session) as session_events
)

select
    records,
    rejects,
    copies,
    events,
    session_events
from total
where
    events != records - rejects - copies
    or coalesce(session_events, 0) != events
