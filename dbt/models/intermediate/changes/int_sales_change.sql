select
    null::text as product_id,
    null::integer as date_sk,
    null::integer as orders,
    null::bigint as quantity,
    null::numeric as revenue,
    true as anew
{% if is_incremental() %}
    where false
{% endif %}
