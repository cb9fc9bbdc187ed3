{#-
  For a post_hook: the index, if the table has none of these columns. dbt makes those of `indexes` only together with the
  table, and knows no conditions. An index that came later than the tables of a running warehouse needs this, too.
  `include`: columns that a query needs besides, which then reads the index alone.
-#}
{% macro ensure_index(columns, method="btree", condition="", include="") %}
    {%- set listed = "(" ~ columns ~ ")" ~ (" INCLUDE (" ~ include ~ ")" if include) -%}
    {%- if execute -%}
        {%- set found = run_query(
            "select count(*) from pg_catalog.pg_index where indrelid = '" ~ this ~ "'::regclass"
            ~ " and pg_get_indexdef(indexrelid) like '%" ~ listed ~ "%'"
        ).columns[0][0] -%}
        {%- if found == 0 -%}
            create index on {{ this }} using {{ method }} {{ listed }} {{ "where " ~ condition if condition }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#-
  For a post_hook: block-range indexes learn what the run has added. Until then they have every search read those blocks,
  and autovacuum comes only when the table has grown by a fifth.
-#}
{% macro summarize_block_ranges() %}
    select pg_catalog.brin_summarize_new_values(index.indexrelid)
    from pg_catalog.pg_index as index
    inner join pg_catalog.pg_class as class on index.indexrelid = class.oid
    inner join pg_catalog.pg_am as method on class.relam = method.oid
    where index.indrelid = '{{ this }}'::regclass and method.amname = 'brin'
{% endmacro %}
