-- One late order may move its user to another cohort, with every week since. So all is summed up anew, from a row per
-- user and week, and only what differs is written; a run without news reads nothing.
-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        incremental_strategy="replace",
        unique_key=["cohort_week", "weeks_since"],
        incremental_predicates=[
            "exists (select from intermediate.int_touched_day as touched_day)"
        ],
    )
}}
{{ require_whole_history() }}

with customer_week as (
    select
        user_id,
        week_start,
        orders,
        revenue,
        min(week_start) over (partition by user_id) as cohort_week
    from {{ ref("int_customer_week") }}
    {% if part_of_history() %}
        where exists (select from {{ ref("int_touched_day") }})
    {% endif %}
),

retained as (
    select
        cohort_week,
        (week_start - cohort_week) / 7 as weeks_since,
        count(*)::integer as customers,
        sum(orders)::integer as orders,
        sum(revenue) as revenue
    from customer_week
    group by cohort_week, week_start
)

select
    cohort_week,
    weeks_since,
    -- everybody is there in the week that makes the cohort
    first_value(customers) over (partition by cohort_week order by weeks_since) as cohort_size,
    customers,
    orders,
    revenue
from retained
