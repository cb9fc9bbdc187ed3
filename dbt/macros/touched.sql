{#- Conditions that keep a run to the days it touches; on a table built anew, all of them. An array, so that an index finds them. -#}
{% macro touched_days(date_sk) -%}
    {%- if part_of_history() -%}
        {{ date_sk }} = any(array(select touched_day.date_sk from {{ ref("int_touched_day") }} as touched_day))
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- For incremental_predicates: the rows of these days. -#}
{% macro replaced_days() -%}
    current_row.date_sk = any(array(select touched_day.date_sk from intermediate.int_touched_day as touched_day))
{%- endmacro %}
