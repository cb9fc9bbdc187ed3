-- An order's events may come in any order and in different loads. So an order that anything new touches
-- is put together from all of its events, and the result does not depend on how they were cut into loads.
with order_event as (
    select
        event_id,
        event_type,
        event_at,
        user_id,
        session_id,
        product_id,
        device_type,
        geo_country,
        geo_city,
        order_id,
        amount,
        quantity,
        shipping_method,
        delivery_estimate,
        completed_at,
        attempted_amount,
        failed_at
    from {{ ref("int_touched_event") }}
    where order_id is not null
),

-- of several, the latest counts; the id decides between two of one moment
complete as (
    select distinct on (order_id) *
    from order_event
    where event_type = 'order_complete'
    order by order_id asc, event_at desc, event_id desc
),

failed as (
    select distinct on (order_id) *
    from order_event
    where event_type = 'order_failed'
    order by order_id asc, event_at desc, event_id desc
),

-- who, what, where and when: from the completion, or else from the latest failure
decisive as (
    select * from complete
    union all
    select failed.*
    from failed
    where not exists (
        select from complete
        where complete.order_id = failed.order_id
    )
),

-- Only a purchase holds an address, and only an outcome an order_id: sessions join them. An order may be
-- tried in several, when its user comes back to it.
order_session as (
    select distinct
        order_event.order_id,
        order_event.session_id,
        decisive.user_id,
        decisive.event_at
    from order_event
    inner join decisive on order_event.order_id = decisive.order_id and order_event.user_id = decisive.user_id
),

purchase as (
    select distinct on (order_session.order_id)
        order_session.order_id,
        event.shipping_address
    from order_session
    inner join {{ ref("int_touched_event") }} as event
        on
            order_session.session_id = event.session_id
            and order_session.user_id = event.user_id
            and order_session.event_at >= event.event_at
    where event.event_type = 'purchase'
    order by order_session.order_id asc, event.event_at desc, event.event_id desc
)

select
    decisive.order_id,
    decisive.user_id,
    decisive.product_id,
    {{ date_sk("decisive.event_at") }} as date_sk,
    complete.amount,
    complete.quantity,
    purchase.shipping_address,
    complete.shipping_method,
    complete.delivery_estimate,
    complete.completed_at,
    failed.attempted_amount,
    failed.failed_at,
    decisive.device_type,
    decisive.geo_country,
    decisive.geo_city
from decisive
left join complete on decisive.order_id = complete.order_id
left join failed on decisive.order_id = failed.order_id
left join purchase on decisive.order_id = purchase.order_id
