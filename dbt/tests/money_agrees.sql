-- What was earned on a day this run touched is the same in every mart that tells it: by order, by line, by day, by
-- product.
with touched as materialized (
    select
        touched_day.date_sk,
        (
            select coalesce(sum({{ cents("fact_order.amount") }}), 0) from {{ ref("fact_order") }} as fact_order
            where fact_order.date_sk = touched_day.date_sk
        ) as by_order,
        (
            select coalesce(sum(item.amount), 0) from {{ ref("fact_order_item") }} as item
            where item.date_sk = touched_day.date_sk
        ) as by_line,
        (
            select coalesce(sum(daily.revenue), 0) from {{ ref("daily_revenue") }} as daily
            where daily.date_sk = touched_day.date_sk
        ) as by_day,
        (
            select coalesce(sum(product.revenue), 0) from {{ ref("product_performance") }} as product
            where product.date_sk = touched_day.date_sk
        ) as by_product
    from {{ ref("int_touched_day") }} as touched_day
)

select
    date_sk,
    by_order,
    by_line,
    by_day,
    by_product
from touched
where by_line != by_order or by_day != by_order or by_product != by_order
