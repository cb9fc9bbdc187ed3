-- Sums of days and weeks begin here: so orders are read by the day, and never by the week. A table that is missing is
-- made from all of fact_order, whichever loads the run is about.
-- depends_on: {{ ref("int_touched_day") }}
{{
    config(
        materialized="incremental",
        incremental_strategy="replace",
        unique_key=["date_sk", "user_id"],
        incremental_predicates=[replaced_days()],
        on_schema_change="fail",
        contract={"enforced": true},
    )
}}

select
    date_sk,
    user_id,
    count(completed_at)::integer as orders,
    coalesce(sum(quantity) filter (where completed_at is not null), 0)::bigint as quantity,
    coalesce(sum({{ cents("amount") }}) filter (where completed_at is not null), 0.00) as revenue,
    count(*) filter (where completed_at is null)::integer as lost_orders,
    coalesce(sum({{ cents("attempted_amount") }}) filter (where completed_at is null), 0.00) as lost_revenue
from {{ ref("fact_order") }}
where {{ touched_days("date_sk") }}
group by date_sk, user_id
