-- The raw files that are built follow one another: each begins where the one before it ended, the first at 0. One
-- that is missing in between was lost or never loaded. After int_built_load: what there is, is built all the same.
-- A quarantined file of which not even the end is known vouches for nothing.
-- depends_on: {{ ref("int_built_load") }}
with chain as (
    select
        topic,
        epoch,
        kafka_partition,
        start_offset,
        lag(next_offset, 1, 0::bigint) over one_chain as expected_start,
        lag(status, 1, 'loaded') over one_chain as status_before
    from {{ ref("stg_load_file") }}
    window one_chain as (partition by topic, epoch, kafka_partition order by start_offset)
)

select
    topic,
    epoch,
    kafka_partition,
    expected_start,
    start_offset
from chain
where
    start_offset is distinct from expected_start
    and not (status_before = 'quarantined' and expected_start is null)
