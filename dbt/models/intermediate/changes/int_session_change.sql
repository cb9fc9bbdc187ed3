select
    null::integer as date_sk,
    null::text as device_type,
    null::text as geo_country,
    null::integer as sessions,
    null::integer as searched,
    null::integer as purchased,
    null::integer as completed,
    true as anew
{% if is_incremental() %}
    where false
{% endif %}
