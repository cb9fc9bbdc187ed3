{#-
  Incremental strategies on top of an enforced primary key. All cost as much as the new rows, give the same
  result however often they are repeated, and stay correct beside a second writer, which "merge" and
  "delete+insert" do not promise. None takes a lock that a reader would have to wait for.
-#}

{%- macro key_columns(unique_key) -%}
    {{ return([unique_key] if unique_key is string else unique_key) }}
{%- endmacro -%}

{#- insert_new: the row that came first stays. -#}
{% macro get_incremental_insert_new_sql(arg_dict) %}
    {%- set columns = get_quoted_csv(arg_dict["dest_columns"] | map(attribute="name")) -%}
    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
    on conflict ({{ key_columns(arg_dict["unique_key"]) | join(", ") }}) do nothing
{% endmacro %}

{#- upsert: the row is made what it is now; one that is so already is not written again. -#}
{% macro get_incremental_upsert_sql(arg_dict) %}
    {%- set names = arg_dict["dest_columns"] | map(attribute="name") | list -%}
    {%- set columns = get_quoted_csv(names) -%}
    {%- set keys = key_columns(arg_dict["unique_key"]) -%}
    insert into {{ arg_dict["target_relation"] }} as current_row ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }}
    on conflict ({{ keys | join(", ") }}) do update set
    {% for name in names if name not in keys -%}
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

{#-
  replace: an upsert of every row that `incremental_predicates` names (as current_row), and one that is no
  longer among them goes. For what is summed up over days: the last order may leave a day.
-#}
{% macro get_incremental_replace_sql(arg_dict) %}
    {%- set keys = key_columns(arg_dict["unique_key"]) -%}
    delete from {{ arg_dict["target_relation"] }} as current_row
    where
        {{ arg_dict["incremental_predicates"] | join(" and ") }}
        and not exists (
            select from {{ arg_dict["temp_relation"] }} as new_row
            where
                {% for key in keys -%}
                    new_row.{{ key }} = current_row.{{ key }}{{ " and " if not loop.last }}
                {%- endfor %}
        );
    {{ get_incremental_upsert_sql(arg_dict) }}
{% endmacro %}
