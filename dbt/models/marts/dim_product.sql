{{ config(incremental_strategy="upsert", unique_key="product_id") }}
{{ require_whole_history() }}

with catalog_product as (
    select * from {{ ref("product_history") }}
    where dbt_valid_to = timestamp '9999-12-31'
),

seen as (
    -- each once from the beginning: there are few of them, which the sum of both would not know
    select distinct product_id from {{ ref("int_new_event") }}
    union
    -- a basket may name what no event does
    select distinct line.value ->> 'product_id' as product_id
    from {{ ref("int_new_event") }} as new_event
    cross join lateral jsonb_array_elements(new_event.items::jsonb) as line (value)
    union
    select '{{ var("no_product") }}' as product_id
),

placeholder as (
    select seen.product_id
    from seen
    where not exists (
        select from catalog_product
        where catalog_product.product_id = seen.product_id
    )
)

select
    product_id,
    name,
    category,
    subcategory,
    price,
    brand,
    description,
    stock,
    rating,
    date_added,
    weight
from catalog_product
union all
select
    product_id,
    case when product_id = '{{ var("no_product") }}' then 'No product' else 'Unknown' end as name,
    'Unknown' as category,
    'Unknown' as subcategory,
    null as price,
    'Unknown' as brand,
    null as description,
    null as stock,
    null as rating,
    null as date_added,
    null as weight
from placeholder
{% if is_incremental() %}
    -- what is so already needs no write, nor even a row lock
    except
    select
        product_id,
        name,
        category,
        subcategory,
        price,
        brand,
        description,
        stock,
        rating,
        date_added,
        weight
    from {{ this }}
{% endif %}
