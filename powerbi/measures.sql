-- What each measure of the model means, in SQL and with no filter: integration/tests/powerbi.rs runs these, reads the
-- measure's own DAX, counts the same from the lines that were sent, and wants the same number three times.

-- measure: Revenue
select sum(amount) from marts.fact_order;

-- measure: Orders
select count(*) from marts.fact_order;

-- measure: Completed orders
select count(completed_at) from marts.fact_order;

-- measure: Average order value
select avg(amount) from marts.fact_order
where completed_at is not null;

-- measure: Items sold
select sum(quantity) from marts.fact_order;

-- measure: Items per order
select avg(quantity) from marts.fact_order
where completed_at is not null;

-- measure: Revenue per day
select avg(revenue) from marts.daily_revenue;

-- measure: Completion rate
select avg((completed_at is not null)::integer) from marts.fact_order;

-- measure: Failed orders
select count(*) - count(completed_at) from marts.fact_order;

-- measure: Lost revenue
select sum(attempted_amount) filter (where completed_at is null) from marts.fact_order;

-- measure: Recovered orders
select count(*) from marts.fact_order
where completed_at is not null and failed_at is not null;

-- measure: Recovered revenue
select sum(amount) from marts.fact_order
where failed_at is not null;

-- measure: Recovery rate
select avg((completed_at is not null)::integer) from marts.fact_order
where failed_at is not null;

-- measure: Sessions
select sum(sessions) from marts.funnel;

-- measure: Searching sessions
select sum(searched) from marts.funnel;

-- measure: Purchasing sessions
select sum(purchased) from marts.funnel;

-- measure: Completing sessions
select sum(completed) from marts.funnel;

-- measure: Search to purchase
select sum(purchased)::double precision / sum(searched) from marts.funnel;

-- measure: Purchase to completion
select sum(completed)::double precision / sum(purchased) from marts.funnel;

-- measure: Conversion
select sum(completed)::double precision / sum(sessions) from marts.funnel;

-- measure: Events
select count(*) from marts.fact_event;

-- measure: Active users
select count(distinct user_id) from marts.fact_event;

-- measure: Errors
select count(*) from marts.fact_event
where event_type = 'error';

-- measure: Error rate
select avg((event_type = 'error')::integer) from marts.fact_event;

-- measure: Failed attempts
select count(*) from marts.fact_event
where event_type = 'order_failed';

-- measure: Completions
select count(*) from marts.fact_event
where event_type = 'order_complete';

-- measure: Failure rate
select avg((event_type = 'order_failed')::integer)
from marts.fact_event
where event_type in ('order_failed', 'order_complete');

-- measure: Failures
select sum(failures) from marts.failures_by_hour;

-- measure: Users
select count(*) from marts.dim_user;

-- measure: Buyers
select count(distinct user_id) from marts.fact_order
where completed_at is not null;

-- measure: Share of buyers
with fact_order as (
    select distinct user_id from marts.fact_order
    where completed_at is not null
)

select avg((fact_order.user_id is not null)::integer)
from marts.dim_user
left join fact_order
    on dim_user.user_id = fact_order.user_id;

-- measure: Repeat buyers
select count(*)
from (
    select user_id from marts.fact_order
    group by user_id
    having count(completed_at) > 1
) as repeat_buyer;

-- measure: Repeat rate
select avg((buyer.orders > 1)::integer)
from (
    select count(*) as orders from marts.fact_order
    where completed_at is not null
    group by user_id
) as buyer;

-- measure: Revenue per buyer
select avg(buyer.revenue)
from (
    select sum(amount) as revenue from marts.fact_order
    where completed_at is not null
    group by user_id
) as buyer;

-- measure: Orders per buyer
select avg(buyer.orders)
from (
    select count(*) as orders from marts.fact_order
    where completed_at is not null
    group by user_id
) as buyer;

-- measure: Customers per day
select avg(customers) from marts.daily_revenue;

-- measure: New customers
select sum(cohort_size) from marts.cohort_retention
where weeks_since = 0;

-- measure: Cohort customers
select sum(customers) from marts.cohort_retention;

-- measure: Retention
select sum(customers)::double precision / sum(cohort_size) filter (where weeks_since = 0) from marts.cohort_retention;

-- measure: Products
select count(*) from marts.dim_product
where product_id != 'unknown';

-- measure: Products sold
select count(distinct product_id) from marts.product_performance
where orders > 0;

-- measure: Share of products sold
select count(distinct product_performance.product_id)::double precision / count(distinct dim_product.product_id)
from marts.dim_product
left join marts.product_performance
    on dim_product.product_id = product_performance.product_id and product_performance.orders > 0
where dim_product.product_id != 'unknown';

-- measure: Product revenue
select sum(revenue) from marts.product_performance;

-- measure: Pieces sold
select sum(quantity) from marts.product_performance;

-- measure: Orders with the product
select sum(orders) from marts.product_performance;

-- measure: Product searches
select sum(searches) from marts.product_performance;

-- measure: Product purchases
select sum(purchases) from marts.product_performance;
