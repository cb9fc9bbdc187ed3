-- The lines of an order are those of its latest completion, as in int_touched_order. What a basket cost is known, what
-- a line cost is not: the amount is shared out by what the catalog asked then, in whole cents that sum to it.
{{ config(post_hook="analyze {{ this }}") }}

with completion as (
    select
        order_id,
        user_id,
        event_at,
        event_id,
        amount,
        items
    from {{ ref("int_touched_event") }}
    where
        event_type = 'order_complete'
        and order_id in (
            select new_event.order_id from {{ ref("int_new_event") }} as new_event
            where new_event.event_type = 'order_complete'
        )
    {% if not whole_history() %}
        union all
        -- the catalog knows a product now that it did not when the order was built, by a run before this one
        select
            event.order_id,
            event.user_id,
            event.event_at,
            event.event_id,
            event.amount,
            event.items
        from {{ event_history() }} as event
        where
            event.event_type = 'order_complete'
            and event.order_id in (
                select item.order_id
                from {{ newly_priced(ref("dim_product_history")) }} as item
            )
    {% endif %}
),

complete as (
    select distinct on (order_id) *
    from completion
    order by order_id asc, event_at desc, event_id desc
),

line as (
    select
        complete.order_id,
        complete.user_id,
        complete.event_at,
        complete.amount,
        basket.line_number::integer as line_number,
        basket.item ->> 'product_id' as product_id,
        (basket.item ->> 'quantity')::integer as quantity
    from complete
    cross join lateral jsonb_array_elements(complete.items::jsonb) with ordinality as basket (item, line_number)
),

-- the version in force; before its first version a product is taken to have been as that says
priced as (
    select
        line.*,
        version.product_version_id,
        {{ cents("version.price") }} as unit_price
    from line
    left join lateral (
        select
            history.product_version_id,
            history.price
        from {{ ref("dim_product_history") }} as history
        where
            history.product_id = line.product_id
            and (history.valid_from <= line.event_at or history.version = 1)
        order by history.version desc
        limit 1
    ) as version on true
),

-- where a price is missing, or all are nothing, every piece counts alike
weighed as (
    select
        priced.*,
        round({{ cents("priced.amount") }} * 100) as order_cents,
        case
            when
                bool_and(priced.unit_price is not null) over whole_order
                and sum(priced.unit_price * priced.quantity) over whole_order > 0
                then round(priced.unit_price * 100) * priced.quantity
            else priced.quantity
        end as weight
    from priced
    window whole_order as (partition by priced.order_id)
),

summed as (
    select
        weighed.*,
        sum(weighed.weight) over (partition by weighed.order_id order by weighed.line_number) as weight_so_far,
        sum(weighed.weight) over (partition by weighed.order_id) as weight_of_all
    from weighed
)

-- Each line gets what is due up to it less what was due before it, both rounded to the nearest cent, in whole
-- numbers: so no cent is lost.
select
    summed.order_id,
    summed.line_number,
    summed.user_id,
    summed.product_id,
    summed.product_version_id,
    {{ date_sk("summed.event_at") }} as date_sk,
    summed.quantity,
    summed.unit_price,
    round((
        div(2 * summed.order_cents * summed.weight_so_far + summed.weight_of_all, 2 * summed.weight_of_all)
        - div(
            2 * summed.order_cents * (summed.weight_so_far - summed.weight) + summed.weight_of_all,
            2 * summed.weight_of_all
        )
    ) / 100, 2) as amount
from summed
