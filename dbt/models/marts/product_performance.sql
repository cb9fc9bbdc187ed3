-- depends_on: {{ ref("fact_event") }}
-- depends_on: {{ ref("fact_order_item") }}
-- depends_on: {{ ref("int_interest_change") }}
-- depends_on: {{ ref("int_sales_change") }}
{%- set notes = ["int_interest_change", "int_sales_change"] %}
{{
    config(
        incremental_strategy="replace",
        unique_key=["product_id", "date_sk"],
        incremental_predicates=[noted(notes, ["product_id", "date_sk"])],
        indexes=[{"columns": ["date_sk"]}],
        pre_hook="{{ take_up(" ~ notes ~ ") }}",
        post_hook="{{ taken_up(" ~ notes ~ ") }}",
    )
}}
{{ require_whole_history() }}

{% set from_notes = goes_on(notes) %}
{% if from_notes %}
    with interest as (
        select
            product_id,
            date_sk,
            sum(searches) as searches,
            sum(purchases) as purchases,
            sum(failed_orders) as failed_orders,
            sum(errors) as errors
        from {{ ref("int_interest_change") }}
        group by product_id, date_sk
    ),

    sold as (
        select
            product_id,
            date_sk,
            sum(orders) as orders,
            sum(quantity) as quantity,
            sum(revenue) as revenue
        from {{ ref("int_sales_change") }}
        group by product_id, date_sk
    ),
{% else %}
    with interest as (
        {{ count_interest(ref("fact_event")) }}
    ),

    sold as (
        {{ count_sales(ref("fact_order_item")) }}
    ),
{% endif %}

change as (
    {{ interest_and_sales("interest", "sold") }}
)

{% if from_notes %}
    select
        change.product_id,
        change.date_sk,
        (coalesce(current_row.searches, 0) + change.searches)::integer as searches,
        (coalesce(current_row.purchases, 0) + change.purchases)::integer as purchases,
        (coalesce(current_row.failed_orders, 0) + change.failed_orders)::integer as failed_orders,
        (coalesce(current_row.errors, 0) + change.errors)::integer as errors,
        (coalesce(current_row.orders, 0) + change.orders)::integer as orders,
        (coalesce(current_row.quantity, 0) + change.quantity)::bigint as quantity,
        coalesce(current_row.revenue, 0.00) + change.revenue as revenue
    from change
    left join {{ this }} as current_row
        on change.product_id = current_row.product_id and change.date_sk = current_row.date_sk
    where
        coalesce(current_row.searches, 0) + change.searches != 0
        or coalesce(current_row.purchases, 0) + change.purchases != 0
        or coalesce(current_row.failed_orders, 0) + change.failed_orders != 0
        or coalesce(current_row.errors, 0) + change.errors != 0
        or coalesce(current_row.orders, 0) + change.orders != 0
{% else %}
    select * from change
{% endif %}
