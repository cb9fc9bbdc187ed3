-- The ledger minus what is built, never "above the highest built": load ids may become visible out of
-- order, and a quarantined file may load late.
select load_file.load_id
from {{ ref("stg_load_file") }} as load_file
where
    load_file.status = 'loaded'
    {%- if not whole_history() %}
        and not exists (
            select from {{ built_load_relation() }} as built
            where built.load_id = load_file.load_id
        )
    {%- endif %}
