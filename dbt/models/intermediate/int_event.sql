-- The session comes first in its index: sessions that begin about the same time lie together where their ids grow
-- with time, and users, who come back, do not.
-- Written after int_touched_event has looked at what came before.
-- depends_on: {{ ref("int_touched_event") }}
-- depends_on: {{ ref("int_known_event") }}
-- Analyzed when it is new, for the run that goes on from here; later on autovacuum sees to it.
{{
    config(
        materialized="incremental",
        incremental_strategy="insert_new",
        unique_key="event_id",
        on_schema_change="fail",
        contract={"enforced": true},
        indexes=[{"columns": ["session_id", "user_id"]}],
        post_hook=[
            "{{ ensure_index('order_id', condition='order_id is not null') }}",
            "{{ ensure_index('event_at', condition=\"event_type in ('order_failed', 'error')\","
            ~ " include='event_type, user_id, error_code, attempted_amount') }}",
            "{% if not is_incremental() %}analyze {{ this }}{% endif %}",
        ],
        meta={"new_rows": "view", "known_in": "int_known_event"},
    )
}}
{{ require_whole_history() }}

select
    event_id,
    event_type,
    event_at,
    event_at::date as event_date,
    user_id,
    session_id,
    product_id,
    device_type,
    geo_country,
    geo_city,
    order_id,
    amount,
    quantity,
    items,
    shipping_address,
    shipping_method,
    delivery_estimate,
    completed_at,
    attempted_amount,
    failed_at,
    error_code
from {{ ref("int_new_event") }}
