-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        incremental_strategy="replace",
        unique_key=["date_sk", "device_type", "geo_country"],
        incremental_predicates=[replaced_days()],
    )
}}
{{ require_whole_history() }}

select
    date_sk,
    coalesce(device_type, 'Unknown') as device_type,
    coalesce(geo_country, 'Unknown') as geo_country,
    count(*)::integer as sessions,
    count(*) filter (where has_search)::integer as searched,
    count(*) filter (where has_purchase)::integer as purchased,
    count(*) filter (where has_completion)::integer as completed
from {{ ref("fact_session") }}
where {{ touched_days("date_sk") }}
group by date_sk, coalesce(device_type, 'Unknown'), coalesce(geo_country, 'Unknown')
