{#-
  Two incremental strategies on top of an enforced primary key. Both cost as much as the new rows, give
  the same result however often they are repeated, and stay correct beside a second writer, which
  "merge" and "delete+insert" do not promise.
-#}

{#- insert_new: the row that came first stays. -#}
{% macro get_incremental_insert_new_sql(arg_dict) %}
    {%- set columns = get_quoted_csv(arg_dict["dest_columns"] | map(attribute="name")) -%}
    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
    on conflict ({{ arg_dict["unique_key"] }}) do nothing
{% endmacro %}

{#- upsert: the row is made what it is now; one that is so already is not written again. -#}
{% macro get_incremental_upsert_sql(arg_dict) %}
    {%- set names = arg_dict["dest_columns"] | map(attribute="name") | list -%}
    {%- set columns = get_quoted_csv(names) -%}
    insert into {{ arg_dict["target_relation"] }} as current_row ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
    on conflict ({{ arg_dict["unique_key"] }}) do update set
    {% for name in names if name != arg_dict["unique_key"] -%}
        {{ adapter.quote(name) }} = excluded.{{ adapter.quote(name) }}{{ "," if not loop.last }}
    {% endfor -%}
    where
        (
            {%- for name in names %}current_row.{{ adapter.quote(name) }}{{ ", " if not loop.last }}{% endfor -%}
        )
        is distinct from
        (
            {%- for name in names %}excluded.{{ adapter.quote(name) }}{{ ", " if not loop.last }}{% endfor -%}
        )
{% endmacro %}
