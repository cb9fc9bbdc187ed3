{#-
  Incremental strategies on top of an enforced primary key. All cost as much as the new rows, give the same
  result however often they are repeated, and stay correct beside a second writer, which "merge" and
  "delete+insert" do not promise. None takes a lock that a reader would have to wait for.
-#}

{%- macro key_columns(unique_key) -%}
    {{ return([unique_key] if unique_key is string else unique_key) }}
{%- endmacro -%}

{#-
  Foreign keys of the new rows, checked by one join each before they go in: PostgreSQL's own checks ask for every row and key
  by itself, which takes longer than all else that an insert does. It leaves them out where the session says that its rows were
  checked elsewhere (as a replica does), until the transaction ends; a role without that right gets them as ever. The
  keys stay for everybody else. No row that one points to can go meanwhile: dimensions keep theirs.
-#}
{%- macro check_foreign_keys(arg_dict) -%}
    {%- set keys = key_constraints() | selectattr("type", "eq", "foreign_key") | list -%}
    {%- if keys -%}
        select set_config('session_replication_role', 'replica', true)
        where has_parameter_privilege('session_replication_role', 'SET');
        do $$
        declare
            missing text;
        begin
            {%- for key in keys %}
            {%- set new_key = "new_row." ~ key["columns"] | join(", new_row.") %}
            {%- set known_key = "known." ~ key["to_columns"] | join(", known.") %}
            select ({{ new_key }})::text into missing
            from {{ arg_dict["temp_relation"] }} as new_row
            where
                not exists (select from {{ key["to"] }} as known where ({{ known_key }}) = ({{ new_key }}))
                and num_nulls({{ new_key }}) = 0
            limit 1;
            if found then
                raise foreign_key_violation using message =
                    '{{ arg_dict["target_relation"] }}: {{ key["columns"] | join(", ") }} ' || missing || ' is not in {{ key["to"] }}';
            end if;
            {%- endfor %}
        end
        $$;
    {%- endif -%}
{%- endmacro -%}

{#-
  insert_new: the row that came first stays. Copies are looked up, one by one, and left out (in `meta`,
  `known_in` may name a table that has them already): for a row that is not there yet
  `on conflict do nothing` costs more than that. Beside a second writer the key refuses what came twice, and the next run
  goes on from there.
-#}
{% macro get_incremental_insert_new_sql(arg_dict) %}
    {{ check_foreign_keys(arg_dict) }}
    {%- set columns = get_quoted_csv(arg_dict["dest_columns"] | map(attribute="name")) -%}
    {%- set keys = key_columns(arg_dict["unique_key"]) | join(", ") -%}
    {%- set known_in = config.get("meta", {}).get("known_in") -%}
    {%- set copies = "intermediate." ~ known_in if known_in else model.name ~ "__copies" -%}
    {%- if not known_in %}
        create temporary table {{ copies }} on commit drop as
        select {{ keys }}
        from {{ look_up(arg_dict["target_relation"], key_columns(arg_dict["unique_key"]), arg_dict["temp_relation"]) }} as stored;
    {%- endif %}
    {{ note_changes(arg_dict, "(select * from " ~ arg_dict["temp_relation"] ~ " where (" ~ keys ~ ") in (select " ~ keys ~ " from " ~ copies ~ "))") }}
    insert into {{ arg_dict["target_relation"] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict["temp_relation"] }} as new_row
    where not exists (
        select from {{ copies }} as copy
        where {{ equal(key_columns(arg_dict["unique_key"]), "copy", "new_row") }}
    )
{% endmacro %}

{#- upsert: the row is made what it is now; one that is so already is not written again. -#}
{% macro get_incremental_upsert_sql(arg_dict) %}
    {{ note_changes(arg_dict, replaced(arg_dict)) }}
    {{ upsert(arg_dict) }}
{% endmacro %}

{% macro upsert(arg_dict) %}
    {%- set names = arg_dict["dest_columns"] | map(attribute="name") | list -%}
    {%- set columns = get_quoted_csv(names) -%}
    {%- set keys = key_columns(arg_dict["unique_key"]) -%}
    {{ check_foreign_keys(arg_dict) }}
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
    {{ note_changes(arg_dict, replaced(arg_dict)) }}
    {%- set keys = key_columns(arg_dict["unique_key"]) -%}
    delete from {{ arg_dict["target_relation"] }} as current_row
    where
        {{ arg_dict["incremental_predicates"] | join(" and ") }}
        and not exists (
            select from {{ arg_dict["temp_relation"] }} as new_row
            where {{ equal(keys, "new_row", "current_row") }}
        );
    {{ upsert(arg_dict) }}
{% endmacro %}

{#-
  A run's rows lie in a temporary table while dbt adds them, which a model that only hands on another table's rows has no need
  of: with meta {"new_rows": "view"} it is a view of these. This macro takes the place of dbt's, which does the rest.
-#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    {%- if temporary and config.get("meta", {}).get("new_rows") == "view" -%}
        create temporary view {{ relation }} as
        {{ sql }}
    {%- else -%}
        {{ dbt.postgres__create_table_as(temporary, relation, sql) }}
    {%- endif -%}
{%- endmacro %}
