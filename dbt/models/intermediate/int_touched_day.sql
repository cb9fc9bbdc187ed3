-- More than the days of the new events: when an event that is late makes its session begin earlier, or an
-- order that failed goes through, something leaves the day it was counted for.
-- depends_on: {{ ref("product_history") }}
{{ config(post_hook="analyze {{ this }}") }}

with touched as (
    select event_date as full_date
    from {{ ref("int_touched_event") }}
    {% if not whole_history() %}
        union
        -- baskets that get a price, now that the catalog knows their products
        select to_date(item.date_sk::text, 'YYYYMMDD') as full_date
        from {{ newly_priced(ref("product_history")) }} as item
    {% endif %}
)

select distinct
    {{ date_sk("full_date") }} as date_sk,
    full_date
from touched
