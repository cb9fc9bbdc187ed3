-- Sums that are kept up by what changed in a fact are the sums of the whole fact. Over the whole history, so not in
-- every build: `dbt test --select tag:history`. A run that was killed is made good by the next one: right after that.
{{ config(tags=["history"]) }}

with counted_session as (
    {{ count_sessions(ref("fact_session")) }}
),

counted_order as (
    {{ count_orders(ref("fact_order")) }}
),

counted_event as (
    {{ count_interest(ref("fact_event")) }}
),

counted_line as (
    {{ count_sales(ref("fact_order_item")) }}
),

counted_product as (
    {{ interest_and_sales("counted_event", "counted_line") }}
),

kept_up as (
    select
        'funnel' as sum_of,
        to_jsonb(funnel) as held
    from {{ ref("funnel") }} as funnel
    union all
    select
        'int_customer_day' as sum_of,
        to_jsonb(customer_day) as held
    from {{ ref("int_customer_day") }} as customer_day
    union all
    select
        'product_performance' as sum_of,
        to_jsonb(product) as held
    from {{ ref("product_performance") }} as product
),

counted as (
    select
        'funnel' as sum_of,
        to_jsonb(counted_session) as held
    from counted_session
    union all
    select
        'int_customer_day' as sum_of,
        to_jsonb(counted_order) as held
    from counted_order
    union all
    select
        'product_performance' as sum_of,
        to_jsonb(counted_product) as held
    from counted_product
)

select
    coalesce(kept_up.sum_of, counted.sum_of) as sum_of,
    kept_up.held as kept_up,
    counted.held as counted
from kept_up
full join counted on kept_up.sum_of = counted.sum_of and kept_up.held = counted.held
where kept_up.held is null or counted.held is null
