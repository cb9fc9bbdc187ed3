-- depends_on: {{ ref("int_touched_day") }}
{{ config(incremental_strategy="replace", unique_key="date_sk", incremental_predicates=[replaced_days()]) }}
{{ require_whole_history() }}

select
    date_sk,
    sum(orders)::integer as orders,
    count(*) filter (where orders > 0)::integer as customers,
    sum(quantity)::bigint as quantity,
    sum(revenue) as revenue,
    sum(lost_orders)::integer as lost_orders,
    sum(lost_revenue) as lost_revenue
from {{ ref("int_customer_day") }}
where {{ touched_days("date_sk") }}
group by date_sk
