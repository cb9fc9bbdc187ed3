-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        incremental_strategy="replace",
        unique_key=["product_id", "date_sk"],
        incremental_predicates=[replaced_days()],
        indexes=[{"columns": ["date_sk"]}],
    )
}}
{{ require_whole_history() }}

with interest as (
    select
        product_id,
        date_sk,
        count(*) filter (where event_type = 'search')::integer as searches,
        count(*) filter (where event_type = 'purchase')::integer as purchases,
        count(*) filter (where event_type = 'order_failed')::integer as failed_orders,
        count(*) filter (where event_type = 'error')::integer as errors
    from {{ ref("fact_event") }}
    where event_type != 'order_complete' and {{ touched_days("date_sk") }}
    group by product_id, date_sk
),

sold as (
    select
        product_id,
        date_sk,
        -- a basket may have a product on two of its lines
        count(distinct order_id)::integer as orders,
        sum(quantity)::bigint as quantity,
        sum(amount) as revenue
    from {{ ref("fact_order_item") }}
    where {{ touched_days("date_sk") }}
    group by product_id, date_sk
)

select
    coalesce(interest.product_id, sold.product_id) as product_id,
    coalesce(interest.date_sk, sold.date_sk) as date_sk,
    coalesce(interest.searches, 0) as searches,
    coalesce(interest.purchases, 0) as purchases,
    coalesce(interest.failed_orders, 0) as failed_orders,
    coalesce(interest.errors, 0) as errors,
    coalesce(sold.orders, 0) as orders,
    coalesce(sold.quantity, 0) as quantity,
    coalesce(sold.revenue, 0.00) as revenue
from interest
full join sold on interest.product_id = sold.product_id and interest.date_sk = sold.date_sk
