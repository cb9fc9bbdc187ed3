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

with touched_hour as (
    select distinct date_trunc('hour', event_at) as begins_at
    from {{ ref("int_new_event") }}
    where event_type in ('order_failed', 'error')
),

failure as (
    select
        event.user_id,
        event.attempted_amount,
        date_trunc('hour', event.event_at) as hour_at,
        coalesce(event.error_code, event.event_type) as failure
    from {{ ref("int_event") }} as event
    {% if part_of_history() %}
        inner join touched_hour
            on
                event.event_at >= touched_hour.begins_at
                and event.event_at < touched_hour.begins_at + interval '1 hour'
    {% endif %}
    where event.event_type in ('order_failed', 'error')
),

-- users are counted in a second step: to count them as distinct would sort all failures
by_user as (
    select
        hour_at,
        failure,
        user_id,
        count(*) as failures,
        sum({{ cents("attempted_amount") }}) as attempted_amount
    from failure
    group by hour_at, failure, user_id
)

select
    hour_at,
    failure,
    {{ date_sk("hour_at") }} as date_sk,
    sum(failures)::integer as failures,
    count(*)::integer as users,
    coalesce(sum(attempted_amount), 0.00) as attempted_amount
from by_user
group by hour_at, failure
