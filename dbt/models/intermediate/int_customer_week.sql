-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        materialized="incremental",
        incremental_strategy="replace",
        unique_key=["user_id", "week_start"],
        incremental_predicates=[
            "current_row.week_start in ("
            ~ "select date_trunc('week', touched_day.full_date)::date from intermediate.int_touched_day as touched_day)"
        ],
        on_schema_change="fail",
        contract={"enforced": true},
        indexes=[{"columns": ["week_start"]}],
    )
}}
{{ require_whole_history() }}

select
    user_id,
    date_trunc('week', to_date(date_sk::text, 'YYYYMMDD'))::date as week_start,
    sum(orders)::integer as orders,
    sum(revenue) as revenue
from {{ ref("int_customer_day") }}
where
    orders > 0
    {% if is_incremental() %}
        and date_sk = any(array(
            select distinct {{ date_sk("date_trunc('week', touched_day.full_date) + make_interval(days => number)") }}
            from {{ ref("int_touched_day") }} as touched_day
            cross join generate_series(0, 6) as weekday (number)
        ))
    {% endif %}
group by user_id, date_trunc('week', to_date(date_sk::text, 'YYYYMMDD'))::date
