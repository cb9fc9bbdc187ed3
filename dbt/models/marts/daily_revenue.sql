-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        incremental_strategy="replace",
        unique_key="date_sk",
        incremental_predicates=[
            "current_row.date_sk in (select touched_day.date_sk from intermediate.int_touched_day as touched_day)"
        ],
    )
}}
{{ require_whole_history() }}

select
    date_sk,
    count(*) filter (where completed_at is not null)::integer as orders,
    count(distinct user_id) filter (where completed_at is not null)::integer as customers,
    coalesce(sum(quantity) filter (where completed_at is not null), 0)::bigint as quantity,
    coalesce(sum({{ cents("amount") }}) filter (where completed_at is not null), 0.00) as revenue,
    count(*) filter (where completed_at is null)::integer as lost_orders,
    coalesce(sum({{ cents("attempted_amount") }}) filter (where completed_at is null), 0.00) as lost_revenue
from {{ ref("fact_order") }}
where {{ touched_days("date_sk") }}
group by date_sk
