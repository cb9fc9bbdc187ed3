-- An event stays in its hour, whatever comes later: the hours of the new ones are enough.
-- depends_on: {{ ref("int_new_event") }}
{{
    config(
        incremental_strategy="replace",
        unique_key=["hour_at", "failure"],
        incremental_predicates=[
            "current_row.hour_at in ("
            ~ "select date_trunc('hour', new_event.event_at) from intermediate.int_new_event as new_event"
            ~ " where new_event.event_type in ('order_failed', 'error'))"
        ],
    )
}}
{{ require_whole_history() }}

with new_failure as (
    select event_at
    from {{ ref("int_new_event") }}
    where event_type in ('order_failed', 'error')
)

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
    {% if part_of_history() %}
        -- an array, so that the block-range index finds the days
        and event_date = any(array(select distinct new_failure.event_at::date from new_failure))
        and date_trunc('hour', event_at) in (select date_trunc('hour', new_failure.event_at) from new_failure)
    {% endif %}
group by date_trunc('hour', event_at), coalesce(error_code, event_type)
