select
    load_id,
    topic,
    epoch,
    kafka_partition,
    start_offset,
    next_offset,
    record_count,
    event_count,
    reject_count,
    status,
    loaded_at at time zone 'UTC' as loaded_at
from {{ source("ops", "load_file") }}
