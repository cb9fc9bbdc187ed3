-- The tests of the facts rest on the database to hold the keys over the whole history, so its constraints
-- must be there; a table dropped with "cascade" takes them along. `dbt build --full-refresh` makes them again.
-- depends_on: {{ ref("fact_event") }}
-- depends_on: {{ ref("fact_order") }}
-- depends_on: {{ ref("int_built_load") }}
with expected (table_name, constraint_type, columns) as (
    values
    ('dim_date', 'p', 'date_sk'),
    ('dim_product', 'p', 'product_id'),
    ('dim_user', 'p', 'user_id'),
    ('fact_event', 'p', 'event_id'),
    ('fact_event', 'f', 'user_id'),
    ('fact_event', 'f', 'product_id'),
    ('fact_event', 'f', 'date_sk'),
    ('fact_order', 'p', 'order_id'),
    ('fact_order', 'f', 'user_id'),
    ('fact_order', 'f', 'product_id'),
    ('fact_order', 'f', 'date_sk'),
    ('dim_product_history', 'p', 'product_version_id'),
    ('dim_product_history', 'f', 'product_id'),
    ('fact_order_item', 'p', 'order_id, line_number'),
    ('fact_order_item', 'f', 'user_id'),
    ('fact_order_item', 'f', 'product_id'),
    ('fact_order_item', 'f', 'product_version_id'),
    ('fact_order_item', 'f', 'date_sk'),
    ('fact_session', 'p', 'user_id, session_id'),
    ('fact_session', 'f', 'user_id'),
    ('fact_session', 'f', 'date_sk'),
    ('funnel', 'p', 'date_sk, device_type, geo_country'),
    ('funnel', 'f', 'date_sk'),
    ('daily_revenue', 'p', 'date_sk'),
    ('daily_revenue', 'f', 'date_sk'),
    ('cohort_retention', 'p', 'cohort_week, weeks_since'),
    ('failures_by_hour', 'p', 'hour_at, failure'),
    ('failures_by_hour', 'f', 'date_sk'),
    ('product_performance', 'p', 'product_id, date_sk'),
    ('product_performance', 'f', 'product_id'),
    ('product_performance', 'f', 'date_sk')
),

enforced as (
    select
        key_table.relname::text as table_name,
        key_constraint.contype::text as constraint_type,
        string_agg(key_column.attname::text, ', ' order by key_column.attnum) as columns
    from pg_catalog.pg_constraint as key_constraint
    inner join pg_catalog.pg_class as key_table on key_constraint.conrelid = key_table.oid
    inner join pg_catalog.pg_attribute as key_column
        on key_table.oid = key_column.attrelid and key_column.attnum = any(key_constraint.conkey)
    where
        key_table.relnamespace = '{{ ref("fact_event").schema }}'::regnamespace
        and key_constraint.contype in ('p', 'f')
        and key_constraint.convalidated
    group by key_table.relname, key_constraint.oid, key_constraint.contype
)

select
    table_name,
    constraint_type,
    columns
from expected
except
select
    table_name,
    constraint_type,
    columns
from enforced
