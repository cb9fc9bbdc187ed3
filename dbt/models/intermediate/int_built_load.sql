-- Written after everything that reads int_new_load: a run that is killed leaves its loads new, and the
-- next one does them again, which changes nothing that was done.
-- depends_on: {{ ref("fact_event") }}
-- depends_on: {{ ref("fact_order") }}
-- depends_on: {{ ref("fact_order_item") }}
-- depends_on: {{ ref("fact_session") }}
-- depends_on: {{ ref("funnel") }}
-- depends_on: {{ ref("daily_revenue") }}
-- depends_on: {{ ref("cohort_retention") }}
-- depends_on: {{ ref("failures_by_hour") }}
-- depends_on: {{ ref("product_performance") }}
{{
    config(
        materialized="incremental",
        incremental_strategy="insert_new",
        unique_key="load_id",
        contract={"enforced": true},
        on_schema_change="fail",
    )
}}

select load_id
from {{ ref("int_new_load") }}
