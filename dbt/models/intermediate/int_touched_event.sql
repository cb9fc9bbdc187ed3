-- Sessions are whole; so are orders that were tried in them, wherever else they were tried, with every purchase of
-- those other sessions, which may hold the address. Read before int_event gets what is new, so that what is looked up
-- there is only what came before.
{{ config(post_hook="analyze {{ this }}") }}

{% set history = event_history() %}

{% if history is not none and whole_history() %}
    with looked_up as (
        select
            event.*,
            true as in_touched_session
        from {{ history }} as event
    )
{% elif history is not none %}
    with touched_session as (
        select distinct
            session_id,
            user_id
        from {{ ref("int_new_event") }}
    ),

    session_event as (
        select event.*
        from {{ look_up(history, ["session_id", "user_id"], "touched_session") }} as event
    ),

    touched_order as (
        select new_event.order_id
        from {{ ref("int_new_event") }} as new_event
        where new_event.order_id is not null
        union
        select session_event.order_id
        from session_event
        where session_event.order_id is not null
    ),

    order_event as (
        select event.*
        from {{ look_up(history, ["order_id"], "touched_order") }} as event
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
        from {{ look_up(history, ["session_id", "user_id"], "other_session") }} as event
        where event.event_type = 'purchase'
    ),

    looked_up as (
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
    new_event.event_id,
    new_event.event_type,
    new_event.event_at,
    new_event.event_at::date as event_date,
    new_event.user_id,
    new_event.session_id,
    new_event.product_id,
    new_event.device_type,
    new_event.geo_country,
    new_event.geo_city,
    new_event.order_id,
    new_event.amount,
    new_event.quantity,
    new_event.items,
    new_event.shipping_address,
    new_event.shipping_method,
    new_event.delivery_estimate,
    new_event.completed_at,
    new_event.attempted_amount,
    new_event.failed_at,
    new_event.error_code,
    true as in_touched_session
from {{ ref("int_new_event") }} as new_event
where
    not exists (
        select from {{ ref("int_known_event") }} as known
        where known.event_id = new_event.event_id
    )
{% if history is not none %}
    union all
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
    from looked_up
{% endif %}
