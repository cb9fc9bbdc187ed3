-- Every event of this run is in fact_event, and every order that one belongs to is in fact_order.
select new_event.event_id
from {{ ref("int_new_event") }} as new_event
where
    not exists (
        select from {{ ref("fact_event") }} as fact_event
        where fact_event.event_id = new_event.event_id
    )
    or (
        new_event.event_type in ('order_complete', 'order_failed')
        and not exists (
            select from {{ ref("fact_order") }} as fact_order
            where fact_order.order_id = new_event.order_id
        )
    )
