-- The ledger minus what is built, never "above the highest built": load ids may become visible out of
-- order, and a quarantined file may load late. A load of which rejects were healed is new once more, under
-- the number of the replay.
with build as (
    select
        load_file.load_id,
        load_file.load_id as source_load_id
    from {{ ref("stg_load_file") }} as load_file
    where load_file.status = 'loaded'
    union all
    select
        replay.replay_id as load_id,
        replay.load_id as source_load_id
    from {{ ref("stg_replay") }} as replay
    inner join {{ ref("stg_load_file") }} as load_file on replay.load_id = load_file.load_id
    where load_file.status = 'loaded'
)

select
    build.load_id,
    build.source_load_id
from build
{% if not whole_history() %}
    where
        not exists (
            select from {{ built_load_relation() }} as built
            where built.load_id = build.load_id
        )
{% endif %}
