{#-
  Which loads a run reads. A run works on the loads that int_built_load does not have yet, and on every
  load when asked to (--full-refresh) or when a table that is built from events is missing.
-#}

{#- Not ref(): what asks for these tables as the run before left them is built before them. -#}
{% macro built_relation(schema, table) %}
    {{ return(adapter.get_relation(database=target.database, schema=schema, identifier=table)) }}
{% endmacro %}

{% macro built_load_relation() %}
    {{ return(built_relation("intermediate", "int_built_load")) }}
{% endmacro %}

{#- The events of earlier runs; none where there are none, or where all are built anew. -#}
{% macro event_history() %}
    {{ return(none if flags.FULL_REFRESH else built_relation("intermediate", "int_event")) }}
{% endmacro %}

{% macro whole_history() %}
    {%- if flags.FULL_REFRESH -%} {{ return(true) }} {%- endif -%}
    {%- if not execute -%} {{ return(false) }} {%- endif -%}
    {%- set built_from_events = [
        ("intermediate", "int_built_load"),
        ("intermediate", "int_customer_week"),
        ("intermediate", "int_event"),
        ("marts", "dim_date"),
        ("marts", "dim_product"),
        ("marts", "dim_user"),
        ("marts", "daily_revenue"),
        ("marts", "fact_event"),
        ("marts", "fact_order"),
        ("marts", "fact_order_item"),
        ("marts", "fact_session"),
        ("marts", "failures_by_hour"),
        ("marts", "funnel"),
        ("marts", "product_performance"),
    ] -%}
    {%- for schema, table in built_from_events -%}
        {%- if built_relation(schema, table) is none -%}
            {{ return(true) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(false) }}
{% endmacro %}

{#-
  Whether a table is put together from a run's loads and what it holds already; else from everything. To be asked instead of
  is_incremental(): the marts stay where they are on --full-refresh (see empty_on_full_refresh).
-#}
{% macro part_of_history() %}
    {{ return(is_incremental() and not flags.FULL_REFRESH) }}
{% endmacro %}

{#-
  What --full-refresh does to a mart that is built from events: it is emptied and filled in one transaction. dbt would
  put a new table in its place, for which it has to wait until no report reads the old one, while every other report
  waits behind it; and would drop the old one's foreign keys, which locks the dimensions too. A mart whose columns changed
  has to be dropped; the next run makes it again, from everything. Dimensions keep their rows.
-#}
{% macro empty_on_full_refresh() %}
    {%- if flags.FULL_REFRESH and is_incremental() and not model.name.startswith("dim_") -%}
        delete from {{ this }}
    {%- endif -%}
{% endmacro %}

{#-
  A table that is made locks those that its foreign keys point to against others that are made, until it is filled: minutes, where
  there is much history. The role's lock_timeout is for the sake of readers, whom this lock leaves alone, so here it is put off.
-#}
{% macro wait_for_others_to_be_made() %}
    {%- if not is_incremental() -%} set local lock_timeout = '1h' {%- endif -%}
{% endmacro %}

{#-
  Refuses to build a table anew from a run's loads alone, as `--full-refresh --select fact_event` would:
  int_new_load of an earlier run may hold few loads or none, and the history would be gone. Loads that the
  ledger no longer has (a file loaded anew, make rebuild) are no history.
-#}
{% macro require_whole_history() %}
    {%- set new_load = ref("int_new_load") -%}
    {%- set load_file = ref("stg_load_file") -%}
    {%- set keeps_rows = model.name.startswith("dim_") and is_incremental() -%}
    {%- if execute and not part_of_history() and not keeps_rows and built_load_relation() is not none -%}
        {%- set missing = run_query(
            "select count(*) from " ~ built_load_relation() ~ " as built"
            ~ " where not exists (select from " ~ new_load ~ " as new_load"
            ~ " where new_load.load_id = built.load_id)"
            ~ " and exists (select from " ~ load_file ~ " as load_file"
            ~ " where load_file.load_id = built.load_id)"
        ).columns[0][0] -%}
        {%- if missing > 0 -%}
            {{ exceptions.raise_compiler_error(
                "this would build " ~ this ~ " anew without " ~ missing ~ " loads that it has now:"
                ~ " select int_new_load+ as well, or nothing, with --full-refresh"
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
