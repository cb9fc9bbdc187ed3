-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        incremental_strategy="replace",
        unique_key=["hour_at", "failure"],
        incremental_predicates=[
            "current_row.date_sk in (select touched_day.date_sk from intermediate.int_touched_day as touched_day)"
        ],
    )
}}
{{ require_whole_history() }}

select
    date_trunc('hour', event_at) as hour_at,
    coalesce(error_code, event_type) as failure,
    {{ date_sk("date_trunc('hour', event_at)") }} as date_sk,
    count(*)::integer as failures,
    count(distinct user_id)::integer as users,
    coalesce(sum({{ cents("attempted_amount") }}), 0.00) as attempted_amount
from {{ ref("int_event") }}
where
    event_type in ('order_failed', 'error')
    and {{ touched_dates("event_date") }}
group by date_trunc('hour', event_at), coalesce(error_code, event_type)
