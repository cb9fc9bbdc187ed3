{#-
  Sums of days are kept up: a day may have a hundred times as many events as a run brings, and is not summed up anew for them.
  Whoever writes a fact notes what each sum gains and loses by it, in the same transaction, in a table int_…_change; the
  sum takes these notes up and deletes them, in one transaction too. So each counts once, however often runs are killed.
  A note with `anew` says that what the sum has is no base to go on from: it is made from the whole fact.
-#}

{#- For a post_hook of a fact: one that was made has nothing to do with what its sum was before. -#}
{% macro note_anew() %}
    {%- if not is_incremental() -%}
        insert into intermediate.{{ config.get("meta")["noted_in"] }} (anew) values (true)
    {%- endif -%}
{% endmacro %}

{#- Whether a sum goes on from what it has; `notes` are the tables of its changes. -#}
{% macro goes_on(notes) %}
    {%- if not part_of_history() -%} {{ return(false) }} {%- endif -%}
    {%- if not execute -%} {{ return(true) }} {%- endif -%}
    {%- for table in notes -%}
        {%- if run_query("select count(*) from intermediate." ~ table ~ " where anew").columns[0][0] > 0 -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}
{% endmacro %}

{#- For a pre_hook: no other session writes or takes up notes meanwhile; and the rows that are no base to go on from go. -#}
{% macro take_up(notes) %}
    {%- for table in notes %}
        lock table intermediate.{{ table }} in share row exclusive mode;
    {% endfor -%}
    {%- if is_incremental() and not goes_on(notes) -%}
        delete from {{ this }};
    {%- endif -%}
{% endmacro %}

{#- For a post_hook: what is taken up is deleted. -#}
{% macro taken_up(notes) %}
    {%- for table in notes %}
        delete from intermediate.{{ table }};
    {% endfor -%}
{% endmacro %}

{#- For incremental_predicates: the rows that notes are about. -#}
{% macro noted(notes, keys) -%}
    (current_row.{{ keys | join(", current_row.") }}) in (
    {%- for table in notes -%}
        select {{ keys | join(", ") }} from intermediate.{{ table }}{{ " union all " if not loop.last }}
    {%- endfor -%}
    )
{%- endmacro %}

{#-
  For the strategies: notes what the fact's sum gains by its new rows, and loses by `gone`. In `meta`, `noted_in` says
  where, and `counted_by` which macro counts (counts.sql).
-#}
{% macro note_changes(arg_dict, gone) %}
    {%- set meta = config.get("meta", {}) -%}
    {%- if "noted_in" in meta and part_of_history() -%}
        {%- set count = context[meta["counted_by"]] %}
        -- one writer at a time: what is replaced must be what was counted
        select pg_advisory_xact_lock(hashtext('{{ arg_dict["target_relation"] }}'));
        insert into intermediate.{{ meta["noted_in"] }}
        select change.*, false as anew
        from (
            {{ count(arg_dict["temp_relation"]) }}
            union all
            {{ count(gone ~ " as gone", "-") }}
        ) as change;
    {%- endif -%}
{% endmacro %}

{#- The rows of a fact that new ones replace: in `meta`, `replaces` are the columns by which they are looked up. -#}
{%- macro replaced(arg_dict) -%}
    {%- set columns = config.get("meta", {}).get("replaces", []) -%}
    {%- set wanted = "(select distinct " ~ columns | join(", ") ~ " from " ~ arg_dict["temp_relation"] ~ ")" -%}
    {{ return(look_up(arg_dict["target_relation"], columns, wanted)) }}
{%- endmacro -%}
