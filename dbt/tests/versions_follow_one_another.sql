-- A product has one version at any time: each begins where the one before it ends, and the last never ends.
with version as (
    select
        product_id,
        version,
        valid_from,
        valid_to,
        is_current,
        lead(valid_from, 1, timestamp '9999-12-31') over (partition by product_id order by version) as next_from
    from {{ ref("dim_product_history") }}
)

select
    product_id,
    version,
    valid_from,
    valid_to
from version
where
    valid_to != next_from
    or valid_from >= valid_to
    or is_current != (valid_to = timestamp '9999-12-31')
