{#- A condition: the columns of one relation are those of another. -#}
{% macro equal(columns, one, other) -%}
    {%- for column in columns %}{{ one }}.{{ column }} = {{ other }}.{{ column }}{{ " and " if not loop.last }}{% endfor -%}
{%- endmacro %}
