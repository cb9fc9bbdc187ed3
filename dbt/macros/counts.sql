{#-
  How facts are counted: whole, or what came (and, with the sign "-", what went) where sums are kept up (kept_up.sql).
-#}

{#- Sessions by day, device and country, and how far they got. -#}
{% macro count_sessions(sessions, sign="") -%}
    select
        date_sk,
        coalesce(device_type, 'Unknown') as device_type,
        coalesce(geo_country, 'Unknown') as geo_country,
        {{ sign }}count(*)::integer as sessions,
        {{ sign }}count(*) filter (where has_search)::integer as searched,
        {{ sign }}count(*) filter (where has_purchase)::integer as purchased,
        {{ sign }}count(*) filter (where has_completion)::integer as completed
    from {{ sessions }}
    group by date_sk, coalesce(device_type, 'Unknown'), coalesce(geo_country, 'Unknown')
{%- endmacro %}

{#- Orders by day and user. -#}
{% macro count_orders(orders, sign="") -%}
    select
        date_sk,
        user_id,
        {{ sign }}count(completed_at)::integer as orders,
        {{ sign }}coalesce(sum(quantity) filter (where completed_at is not null), 0)::bigint as quantity,
        {{ sign }}coalesce(sum({{ cents("amount") }}) filter (where completed_at is not null), 0.00) as revenue,
        {{ sign }}count(*) filter (where completed_at is null)::integer as lost_orders,
        {{ sign }}coalesce(sum({{ cents("attempted_amount") }}) filter (where completed_at is null), 0.00) as lost_revenue
    from {{ orders }}
    group by date_sk, user_id
{%- endmacro %}

{#- Events by product and day. -#}
{% macro count_interest(events, sign="") -%}
    select
        product_id,
        date_sk,
        {{ sign }}count(*) filter (where event_type = 'search')::integer as searches,
        {{ sign }}count(*) filter (where event_type = 'purchase')::integer as purchases,
        {{ sign }}count(*) filter (where event_type = 'order_failed')::integer as failed_orders,
        {{ sign }}count(*) filter (where event_type = 'error')::integer as errors
    from {{ events }}
    where event_type != 'order_complete'
    group by product_id, date_sk
{%- endmacro %}

{#- Lines of baskets by product and day; an order's are given all or none, as it may have a product on two of them. -#}
{% macro count_sales(lines, sign="") -%}
    select
        product_id,
        date_sk,
        {{ sign }}count(distinct order_id)::integer as orders,
        {{ sign }}sum(quantity)::bigint as quantity,
        {{ sign }}sum(amount) as revenue
    from {{ lines }}
    group by product_id, date_sk
{%- endmacro %}

{#- Both of these in one row for a product and day. -#}
{% macro interest_and_sales(interest, sales) -%}
    select
        coalesce(interest.product_id, sales.product_id) as product_id,
        coalesce(interest.date_sk, sales.date_sk) as date_sk,
        coalesce(interest.searches, 0) as searches,
        coalesce(interest.purchases, 0) as purchases,
        coalesce(interest.failed_orders, 0) as failed_orders,
        coalesce(interest.errors, 0) as errors,
        coalesce(sales.orders, 0) as orders,
        coalesce(sales.quantity, 0) as quantity,
        coalesce(sales.revenue, 0.00) as revenue
    from {{ interest }} as interest
    full join {{ sales }} as sales on interest.product_id = sales.product_id and interest.date_sk = sales.date_sk
{%- endmacro %}
