-- Every event of this run is in fact_event, and every order that one belongs to is in fact_order.
-- Ids grow with time, so most of a run's lie together in the index, between two of them. Those that came late are
-- looked up one by one: else a single one that is days late would have the test read all the days between.
with most as (
    select
        percentile_disc(0.05) within group (order by event_id) as first_id,
        max(event_id) as last_id
    from {{ ref("int_new_event") }}
),

found as (
    select fact_event.event_id
    from {{ ref("fact_event") }} as fact_event
    where
        fact_event.event_id >= (select most.first_id from most)
        and fact_event.event_id <= (select most.last_id from most)
    union all
    select fact_event.event_id
    from
        {{ look_up(
            ref("fact_event"), ["event_id"],
            "(select event_id from " ~ ref("int_new_event") ~ " where event_id < (select first_id from most))"
        ) }} as fact_event
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
