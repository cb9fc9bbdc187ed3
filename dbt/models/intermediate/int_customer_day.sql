-- Sums of days and weeks begin here: so orders are never read by the day. A table that is missing is
-- made from all of fact_order, whichever loads the run is about.
-- depends_on: {{ ref("fact_order") }}
-- depends_on: {{ ref("int_order_change") }}
{%- set notes = ["int_order_change"] %}
{{
    config(
        materialized="incremental",
        incremental_strategy="replace",
        unique_key=["date_sk", "user_id"],
        incremental_predicates=[noted(notes, ["date_sk", "user_id"])],
        on_schema_change="fail",
        contract={"enforced": true},
        pre_hook="{{ take_up(" ~ notes ~ ") }}",
        post_hook="{{ taken_up(" ~ notes ~ ") }}",
    )
}}

{% set from_notes = goes_on(notes) %}
{% if from_notes %}
    with change as (
        select
            date_sk,
            user_id,
            sum(orders) as orders,
            sum(quantity) as quantity,
            sum(revenue) as revenue,
            sum(lost_orders) as lost_orders,
            sum(lost_revenue) as lost_revenue
        from {{ ref("int_order_change") }}
        group by date_sk, user_id
    )

    select
        change.date_sk,
        change.user_id,
        (coalesce(current_row.orders, 0) + change.orders)::integer as orders,
        (coalesce(current_row.quantity, 0) + change.quantity)::bigint as quantity,
        coalesce(current_row.revenue, 0) + change.revenue as revenue,
        (coalesce(current_row.lost_orders, 0) + change.lost_orders)::integer as lost_orders,
        coalesce(current_row.lost_revenue, 0) + change.lost_revenue as lost_revenue
    from change
    left join {{ this }} as current_row
        on change.date_sk = current_row.date_sk and change.user_id = current_row.user_id
    where
        coalesce(current_row.orders, 0) + change.orders != 0
        or coalesce(current_row.lost_orders, 0) + change.lost_orders != 0
{% else %}
    {{ count_orders(ref("fact_order")) }}
{% endif %}
