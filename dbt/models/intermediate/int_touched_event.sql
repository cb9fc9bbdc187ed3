-- Sessions are whole; so are orders that were tried in them, wherever else they were tried, with every purchase of
-- those other sessions, which may hold the address.
-- depends_on: {{ ref("int_new_event") }}
{{ config(post_hook="analyze {{ this }}") }}

with
{% if whole_history() %}
    touched as (
        select
            event.*,
            true as in_touched_session
        from {{ ref("int_event") }} as event
    )
{% else %}
    {%- set one_by_one = few_new_events() %}
    touched_session as (
        select distinct
            session_id,
            user_id
        from {{ ref("int_new_event") }}
    ),

    session_event as (
        select event.*
        from {{ look_up(ref("int_event"), ["session_id", "user_id"], "touched_session", one_by_one) }} as event
    ),

    touched_order as (
        select distinct order_id
        from session_event
        where order_id is not null
    ),

    order_event as (
        select event.*
        from {{ look_up(ref("int_event"), ["order_id"], "touched_order", one_by_one) }} as event
        where
            not exists (
                select from touched_session
                where touched_session.session_id = event.session_id and touched_session.user_id = event.user_id
            )
    ),

    other_session as (
        select distinct
            session_id,
            user_id
        from order_event
    ),

    purchase as (
        select event.*
        from {{ look_up(ref("int_event"), ["session_id", "user_id"], "other_session", one_by_one) }} as event
        where event.event_type = 'purchase'
    ),

    touched as (
        select
            session_event.*,
            true as in_touched_session
        from session_event
        union all
        select
            order_event.*,
            false as in_touched_session
        from order_event
        union all
        select
            purchase.*,
            false as in_touched_session
        from purchase
    )
{% endif %}

select
    event_id,
    event_type,
    event_at,
    event_date,
    user_id,
    session_id,
    product_id,
    device_type,
    geo_country,
    geo_city,
    order_id,
    amount,
    quantity,
    items,
    shipping_address,
    shipping_method,
    delivery_estimate,
    completed_at,
    attempted_amount,
    failed_at,
    error_code,
    in_touched_session
from touched
