select
    null::integer as date_sk,
    null::text as user_id,
    null::integer as orders,
    null::bigint as quantity,
    null::numeric as revenue,
    null::integer as lost_orders,
    null::numeric as lost_revenue,
    true as anew
{% if is_incremental() %}
    where false
{% endif %}
