-- Logged, although it lives for one run: an unlogged table is empty after a crash of the server, and a
-- run that went on would call its loads built without their events.
{{ config(post_hook="analyze {{ this }}") }}

select distinct on (log_event.event_id)
    log_event.event_id,
    log_event.event_at,
    {{ date_sk("log_event.event_at") }} as date_sk,
    log_event.event_type,
    log_event.user_id,
    log_event.session_id,
    log_event.product_id,
    log_event.device_type,
    log_event.geo_country,
    log_event.geo_city,
    log_event.order_id,
    log_event.amount,
    log_event.quantity,
    case when log_event.event_type = 'order_complete' then log_event.items end as items,
    log_event.shipping_address,
    log_event.shipping_method,
    log_event.delivery_estimate,
    log_event.completed_at,
    log_event.attempted_amount,
    log_event.failed_at,
    log_event.error_code
from {{ ref("stg_log_event") }} as log_event
where
    {% if whole_history() %}
        log_event.load_id in (select new_load.source_load_id from {{ ref("int_new_load") }} as new_load)
    {% else %}
        -- an array, so that the block-range index on load_id finds the few blocks of the new loads
        log_event.load_id = any(array(select new_load.source_load_id from {{ ref("int_new_load") }} as new_load))
    {% endif %}
order by log_event.event_id, log_event.load_id, log_event.kafka_partition, log_event.kafka_offset
