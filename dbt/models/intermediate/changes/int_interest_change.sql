select
    null::text as product_id,
    null::integer as date_sk,
    null::integer as searches,
    null::integer as purchases,
    null::integer as failed_orders,
    null::integer as errors,
    true as anew
{% if is_incremental() %}
    where false
{% endif %}
