-- A session that anything new touches is put together from all of its events: a late one may be its first.
with session_event as (
    select
        event.user_id,
        event.session_id,
        event.event_at,
        event.event_type,
        event.amount,
        first_value(event.device_type) over in_order as device_type,
        first_value(event.geo_country) over in_order as geo_country,
        first_value(event.geo_city) over in_order as geo_city,
        min(event.event_at) filter (where event.event_type = 'search') over whole_session as first_search_at
    from {{ ref("int_touched_event") }} as event
    where event.in_touched_session
    window
        whole_session as (partition by event.user_id, event.session_id),
        in_order as (partition by event.user_id, event.session_id order by event.event_at, event.event_id)
),

session as (
    select
        user_id,
        session_id,
        min(event_at) as started_at,
        max(event_at) as ended_at,
        min(device_type) as device_type,
        min(geo_country) as geo_country,
        min(geo_city) as geo_city,
        count(*)::integer as events,
        count(*) filter (where event_type = 'search')::integer as searches,
        count(*) filter (where event_type = 'purchase')::integer as purchases,
        count(*) filter (where event_type = 'order_complete')::integer as orders_completed,
        count(*) filter (where event_type = 'order_failed')::integer as orders_failed,
        count(*) filter (where event_type = 'error')::integer as errors,
        min(first_search_at) as first_search_at,
        min(event_at) filter (where event_type = 'purchase' and event_at >= first_search_at) as purchase_at,
        max(event_at) filter (where event_type = 'order_complete') as completion_at,
        coalesce(sum({{ cents("amount") }}) filter (where event_type = 'order_complete'), 0.00) as revenue
    from session_event
    group by user_id, session_id
)

select
    user_id,
    session_id,
    {{ date_sk("started_at") }} as date_sk,
    started_at,
    ended_at,
    extract(epoch from ended_at - started_at)::integer as duration_seconds,
    device_type,
    geo_country,
    geo_city,
    events,
    searches,
    purchases,
    orders_completed,
    orders_failed,
    errors,
    first_search_at is not null as has_search,
    purchase_at is not null as has_purchase,
    coalesce(completion_at >= purchase_at, false) as has_completion,
    revenue
from session
