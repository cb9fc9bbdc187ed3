-- Sums that are kept up by what changed in a fact are the sums of the whole fact. Over the whole history, so not in every
-- build: `dbt test --select tag:history`. A run that was killed is made good by the next one: right after that.
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
    select
        product_id,
        date_sk,
        coalesce(counted_event.searches, 0) as searches,
        coalesce(counted_event.purchases, 0) as purchases,
        coalesce(counted_event.failed_orders, 0) as failed_orders,
        coalesce(counted_event.errors, 0) as errors,
        coalesce(counted_line.orders, 0) as orders,
        coalesce(counted_line.quantity, 0) as quantity,
        coalesce(counted_line.revenue, 0) as revenue
    from counted_event
    full join counted_line using (product_id, date_sk)
),

kept_up as (
    select 'funnel' as mart, to_jsonb(funnel) as kept from {{ ref("funnel") }} as funnel
    union all
    select 'int_customer_day' as mart, to_jsonb(customer_day) as kept from {{ ref("int_customer_day") }} as customer_day
    union all
    select 'product_performance' as mart, to_jsonb(product) as kept from {{ ref("product_performance") }} as product
),

counted as (
    select 'funnel' as mart, to_jsonb(counted_session) as kept from counted_session
    union all
    select 'int_customer_day' as mart, to_jsonb(counted_order) as kept from counted_order
    union all
    select 'product_performance' as mart, to_jsonb(counted_product) as kept from counted_product
)

(
    select 'kept up' as side, kept_up.* from kept_up
    except
    select 'kept up' as side, counted.* from counted
)
union all
(
    select 'counted' as side, counted.* from counted
    except
    select 'counted' as side, kept_up.* from kept_up
)
