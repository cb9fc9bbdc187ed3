{#-
  For a post_hook: the index, if the table has none that begins with these columns. dbt makes those of `indexes`
  only together with the table, and this one came later than the tables of a running warehouse.
-#}
{% macro ensure_index(columns) %}
    {%- if execute -%}
        {%- set found = run_query(
            "select count(*) from pg_catalog.pg_index where indrelid = '" ~ this ~ "'::regclass"
            ~ " and pg_get_indexdef(indexrelid) like '%(" ~ columns ~ ")'"
        ).columns[0][0] -%}
        {%- if found == 0 -%} create index on {{ this }} ({{ columns }}) {%- endif -%}
    {%- endif -%}
{% endmacro %}
