-- More than the days of the new events: when an event that is late makes its session begin earlier, or an
-- order that failed goes through, something leaves the day it was counted for.
-- depends_on: {{ ref("product_history") }}
{{ config(post_hook="analyze {{ this }}") }}
{%- set order_item = built_relation("marts", "fact_order_item") %}

with touched as (
    select event_date as full_date
    from {{ ref("int_touched_event") }}
    {% if not whole_history() %}
        union
        -- baskets that get a price, now that the catalog knows their products
        select to_date(item.date_sk::text, 'YYYYMMDD') as full_date
        from {{ order_item }} as item
        where
            item.product_version_id is null
            and exists (
                select from {{ ref("product_history") }} as history
                where history.product_id = item.product_id
            )
    {% endif %}
)

select distinct
    {{ date_sk("full_date") }} as date_sk,
    full_date
from touched
