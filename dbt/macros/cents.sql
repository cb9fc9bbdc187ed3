{#- An amount to the cent. Numeric without a limit: the contract of events has none, and no amount may stop a run. -#}
{% macro cents(amount) -%}
    round({{ amount }}::numeric, 2)
{%- endmacro %}
