{#-
  Primary and foreign keys of a table that is made are added when it is filled, in the same transaction: then an index is
  built by one sort and a foreign key checked by one join, where row by row that takes ten times as long. And as long as a
  table with foreign keys is being filled, no other one could be made that points to the same tables.
  dbt would write them into `create table`. These two macros take the place of dbt's of the same names.
-#}
{% macro postgres__get_table_columns_and_constraints() -%}
    {%- set columns = {} -%}
    {%- for name, column in model["columns"].items() -%}
        {%- set others = column["constraints"] | rejectattr("type", "in", ["primary_key", "foreign_key"]) | list -%}
        {%- do columns.update({name: dict(column, constraints=others)}) -%}
    {%- endfor -%}
    ({{ adapter.render_raw_columns_constraints(raw_columns=columns) | join(", ") }})
{%- endmacro %}

{#- The keys of the model, each with its columns, wherever its contract has them. -#}
{%- macro key_constraints() -%}
    {%- set keys = model["constraints"] | list -%}
    {%- for name, column in model["columns"].items() -%}
        {%- for constraint in column["constraints"] | selectattr("type", "in", ["primary_key", "foreign_key"]) -%}
            {%- do keys.append(dict(constraint, columns=[name])) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(keys) }}
{%- endmacro -%}

{% macro postgres__create_indexes(relation) -%}
    {{ default__create_indexes(relation) }}
    {%- if config.get("contract").enforced -%}
        {%- set keys = key_constraints() -%}
        {%- if keys -%}
            {%- call statement("keys") -%}
                alter table {{ relation }}
                add {{ adapter.render_raw_model_constraints(raw_constraints=keys) | join(", add ") }}
            {%- endcall -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
