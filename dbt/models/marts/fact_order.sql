-- depends_on: {{ ref("int_order_change") }}
{{
    config(
        incremental_strategy="upsert",
        unique_key="order_id",
        post_hook=["{{ ensure_index('date_sk') }}", "{{ note_anew() }}"],
        meta={
            "new_rows": "view",
            "noted_in": "int_order_change",
            "counted_by": "count_orders",
            "replaces": ["order_id"],
        },
    )
}}
{{ require_whole_history() }}

select
    order_id,
    user_id,
    product_id,
    date_sk,
    amount,
    quantity,
    shipping_address,
    shipping_method,
    delivery_estimate,
    completed_at,
    attempted_amount,
    failed_at,
    device_type,
    geo_country,
    geo_city
from {{ ref("int_touched_order") }}
