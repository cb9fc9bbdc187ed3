-- A load has as many events in raw as the ledger says; one that has not must not reach the star.
with expected as (
    select
        load_file.load_id,
        load_file.event_count
    from {{ ref("stg_load_file") }} as load_file
    where load_file.load_id in (select new_load.source_load_id from {{ ref("int_new_load") }} as new_load)
),

found as (
    select
        log_event.load_id,
        count(*) as event_count
    from {{ ref("stg_log_event") }} as log_event
    where
        log_event.load_id = any(array(select new_load.source_load_id from {{ ref("int_new_load") }} as new_load))
    group by log_event.load_id
)

select
    expected.load_id,
    expected.event_count as expected_count,
    coalesce(found.event_count, 0) as found_count
from expected
left join found on expected.load_id = found.load_id
where expected.event_count != coalesce(found.event_count, 0)
