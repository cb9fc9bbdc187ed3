-- star = raw - duplicates - rejects, for the loads of this run: of every record that the ledger counts it is known
-- whether it is a new event, a copy of one, or a reject. new_events_are_in_the_facts looks whether each is in
-- fact_event, and star_is_raw_without_copies_and_rejects does all that over everything. Not when a file is loaded anew,
-- or its rejects are healed, while this run goes on: the next run builds it again, and looks again.
with new_file as (
    select
        load_file.load_id,
        load_file.record_count
    from {{ ref("stg_load_file") }} as load_file
    where load_file.load_id in (select new_load.source_load_id from {{ ref("int_new_load") }} as new_load)
),

total as (
    select
        (select coalesce(sum(new_file.record_count), 0) from new_file) as records,
        (
            select count(*) from {{ source("raw", "reject") }} as reject
            where reject.load_id = any(array(select new_file.load_id from new_file))
        ) as rejects,
        (
            select count(*) - count(distinct log_event.event_id)
            from {{ ref("stg_log_event") }} as log_event
            where log_event.load_id = any(array(select new_file.load_id from new_file))
        ) as copies,
        (select count(*) from {{ ref("int_new_event") }}) as events
)

select
    records,
    rejects,
    copies,
    events
from total
where
    events != records - rejects - copies
    and not exists (
        select from {{ ref("int_new_load") }} as new_load
        where new_load.source_load_id not in (select load_file.load_id from {{ ref("stg_load_file") }} as load_file)
    )
    and not exists (
        select from {{ ref("stg_replay") }} as replay
        where
            replay.load_id in (select new_file.load_id from new_file)
            and replay.replay_id > (select max(new_load.load_id) from {{ ref("int_new_load") }} as new_load)
    )
