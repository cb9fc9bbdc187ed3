{{
    config(
        incremental_strategy="upsert",
        unique_key="product_version_id",
        indexes=[{"columns": ["product_id", "version"]}],
    )
}}

with numbered as (
    select
        history.*,
        -- the snapshot only ever adds versions, so a number stays what it is
        row_number() over (partition by history.product_id order by history.dbt_valid_from)::integer as version
    from {{ ref("product_history") }} as history
)

select
    numbered.product_id || ':' || numbered.version as product_version_id,
    numbered.product_id,
    numbered.version,
    numbered.name,
    numbered.category,
    numbered.subcategory,
    numbered.price,
    numbered.brand,
    numbered.description,
    numbered.stock,
    numbered.rating,
    numbered.date_added,
    numbered.weight,
    numbered.dbt_valid_from as valid_from,
    numbered.dbt_valid_to as valid_to,
    numbered.dbt_valid_to = timestamp '9999-12-31' as is_current,
    numbered.dbt_is_deleted = 'True' as is_deleted
from numbered
{% if is_incremental() %}
    -- of a version nothing changes but its end
    left join {{ this }} as kept
        on numbered.product_id = kept.product_id and numbered.version = kept.version
    where kept.valid_to is distinct from numbered.dbt_valid_to
{% endif %}
