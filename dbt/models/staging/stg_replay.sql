select
    replay_id,
    load_id,
    healed_count,
    replayed_at at time zone 'UTC' as replayed_at
from {{ source("ops", "replay") }}
