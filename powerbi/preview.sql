-- sqlfluff:exclude_rules:RF04,RF05,ST06
-- What each chart and table of the report shows, for preview.py: grouped by the visual's columns, and its measures
-- under their own names. Cards are the measures of measures.sql.

-- visual: sales/revenue_by_day
select
    dim_date.full_date,
    sum(fact_order.amount) as "Revenue",
    sum(fact_order.attempted_amount) filter (where fact_order.completed_at is null) as "Lost revenue"
from marts.fact_order
inner join marts.dim_date on fact_order.date_sk = dim_date.date_sk
group by dim_date.full_date
order by dim_date.full_date;

-- visual: sales/revenue_by_country
select
    geo_country,
    sum(amount) as "Revenue"
from marts.fact_order
group by geo_country
order by "Revenue" desc nulls last;

-- visual: sales/revenue_by_device
select
    device_type,
    sum(amount) as "Revenue"
from marts.fact_order
group by device_type
order by "Revenue" desc nulls last;

-- visual: sales/orders_by_shipping
select
    shipping_method,
    count(*) as "Completed orders"
from marts.fact_order
where completed_at is not null
group by shipping_method
order by "Completed orders" desc;

-- visual: sales/cities
select
    geo_country,
    geo_city,
    count(completed_at) as "Completed orders",
    sum(amount) as "Revenue"
from marts.fact_order
group by geo_country, geo_city
order by "Revenue" desc nulls last;

-- visual: funnel/steps
select
    sum(sessions) as "Sessions",
    sum(searched) as "Searching sessions",
    sum(purchased) as "Purchasing sessions",
    sum(completed) as "Completing sessions"
from marts.funnel;

-- visual: funnel/steps_by_day
select
    dim_date.full_date,
    sum(funnel.searched) as "Searching sessions",
    sum(funnel.purchased) as "Purchasing sessions",
    sum(funnel.completed) as "Completing sessions"
from marts.funnel
inner join marts.dim_date on funnel.date_sk = dim_date.date_sk
group by dim_date.full_date
order by dim_date.full_date;

-- visual: funnel/conversion_by_device
select
    device_type,
    sum(purchased)::double precision / nullif(sum(searched), 0) as "Search to purchase",
    sum(completed)::double precision / nullif(sum(purchased), 0) as "Purchase to completion",
    sum(completed)::double precision / sum(sessions) as "Conversion"
from marts.funnel
group by device_type
order by "Conversion" desc;

-- visual: funnel/countries
select
    geo_country,
    sum(sessions) as "Sessions",
    sum(searched) as "Searching sessions",
    sum(purchased) as "Purchasing sessions",
    sum(completed) as "Completing sessions",
    sum(completed)::double precision / sum(sessions) as "Conversion"
from marts.funnel
group by geo_country
order by "Sessions" desc;

-- visual: products/revenue_by_category
select
    dim_product.category,
    sum(product_performance.revenue) as "Product revenue"
from marts.product_performance
inner join marts.dim_product on product_performance.product_id = dim_product.product_id
group by dim_product.category
order by "Product revenue" desc;

-- visual: products/interest_by_category
select
    dim_product.category,
    sum(product_performance.searches) as "Product searches",
    sum(product_performance.purchases) as "Product purchases",
    sum(product_performance.orders) as "Orders with the product"
from marts.product_performance
inner join marts.dim_product on product_performance.product_id = dim_product.product_id
group by dim_product.category
order by "Product searches" desc;

-- visual: products/best_products
select
    dim_product.name,
    dim_product.category,
    dim_product.brand,
    dim_product.price,
    dim_product.rating,
    sum(product_performance.searches) as "Product searches",
    sum(product_performance.quantity) as "Pieces sold",
    sum(product_performance.revenue) as "Product revenue"
from marts.product_performance
inner join marts.dim_product on product_performance.product_id = dim_product.product_id
-- Power BI puts products of one name into one row
group by dim_product.name, dim_product.category, dim_product.brand, dim_product.price, dim_product.rating
order by "Product revenue" desc;

-- visual: products/brands
select
    dim_product.brand,
    sum(product_performance.revenue) as "Product revenue"
from marts.product_performance
inner join marts.dim_product on product_performance.product_id = dim_product.product_id
group by dim_product.brand
order by "Product revenue" desc;

-- visual: customers/new_customers
select
    cohort_week,
    sum(cohort_size) as "New customers"
from marts.cohort_retention
where weeks_since = 0
group by cohort_week
order by cohort_week;

-- visual: customers/retention
select
    cohort_week,
    weeks_since,
    customers::double precision / cohort_size as "Retention"
from marts.cohort_retention
order by cohort_week, weeks_since;

-- visual: customers/revenue_by_home
select
    dim_user.country,
    sum(fact_order.amount) as "Revenue"
from marts.fact_order
inner join marts.dim_user on fact_order.user_id = dim_user.user_id
group by dim_user.country
order by "Revenue" desc nulls last;

-- visual: customers/buyers_by_age
select
    dim_user.age,
    dim_user.sex,
    count(distinct fact_order.user_id) as "Buyers"
from marts.fact_order
inner join marts.dim_user on fact_order.user_id = dim_user.user_id
where fact_order.completed_at is not null
group by dim_user.age, dim_user.sex
order by dim_user.age, dim_user.sex;

-- visual: customers/best_customers
select
    dim_user.full_name,
    dim_user.country,
    count(fact_order.completed_at) as "Completed orders",
    sum(fact_order.amount) as "Revenue"
from marts.fact_order
inner join marts.dim_user on fact_order.user_id = dim_user.user_id
group by dim_user.full_name, dim_user.country
order by "Revenue" desc nulls last;

-- visual: operations/failures_by_day
select
    dim_date.full_date,
    failures_by_hour.failure,
    sum(failures_by_hour.failures) as "Failures"
from marts.failures_by_hour
inner join marts.dim_date on failures_by_hour.date_sk = dim_date.date_sk
group by dim_date.full_date, failures_by_hour.failure
order by dim_date.full_date, failures_by_hour.failure;

-- visual: operations/kinds
select
    failure,
    sum(failures) as "Failures"
from marts.failures_by_hour
group by failure
order by "Failures" desc;

-- visual: operations/lost_and_recovered
select
    dim_date.full_date,
    sum(fact_order.attempted_amount) filter (where fact_order.completed_at is null) as "Lost revenue",
    sum(fact_order.amount) filter (where fact_order.failed_at is not null) as "Recovered revenue"
from marts.fact_order
inner join marts.dim_date on fact_order.date_sk = dim_date.date_sk
group by dim_date.full_date
order by dim_date.full_date;

-- visual: operations/rates_by_device
select
    device_type,
    avg((event_type = 'order_failed')::integer)
    filter (where event_type in ('order_failed', 'order_complete')) as "Failure rate",
    avg((event_type = 'error')::integer) as "Error rate"
from marts.fact_event
group by device_type
order by "Failure rate" desc;

-- visual: operations/troubled_countries
select
    geo_country,
    count(*) as "Events",
    count(*) filter (where event_type = 'error') as "Errors",
    avg((event_type = 'error')::integer) as "Error rate",
    avg((event_type = 'order_failed')::integer)
    filter (where event_type in ('order_failed', 'order_complete')) as "Failure rate"
from marts.fact_event
group by geo_country
order by "Events" desc;
