{#- The key of dim_date, yyyymmdd, of a timestamp in UTC or of a date. -#}
{% macro date_sk(moment) -%}
    to_char({{ moment }}, 'YYYYMMDD')::integer
{%- endmacro %}
