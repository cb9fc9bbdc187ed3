-- Every event of this run is in fact_event, and every order that one belongs to is in fact_order.
-- Ids grow with time, so those of a run lie together in the index: between the first and the last of them.
with found as (
    select fact_event.event_id
    from {{ ref("fact_event") }} as fact_event
    where
        fact_event.event_id >= (select min(new_event.event_id) from {{ ref("int_new_event") }} as new_event)
        and fact_event.event_id <= (select max(new_event.event_id) from {{ ref("int_new_event") }} as new_event)
)

select new_event.event_id
from {{ ref("int_new_event") }} as new_event
left join found on new_event.event_id = found.event_id
where found.event_id is null
union all
select new_event.event_id
from {{ ref("int_new_event") }} as new_event
left join {{ ref("fact_order") }} as fact_order on new_event.order_id = fact_order.order_id
where new_event.event_type in ('order_complete', 'order_failed') and fact_order.order_id is null
