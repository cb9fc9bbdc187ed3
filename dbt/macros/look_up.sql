{#-
  A subquery: the rows of `relation` whose `keys` are in `wanted`, which has each once. Each is looked up in its index, which
  costs the same however long the history is; PostgreSQL would join, and read all of the history, until there is some thirty
  times as much as is new.
-#}
{% macro look_up(relation, keys, wanted) -%}
    (
        select stored.*
        from {{ wanted }} as wanted
        cross join lateral (
            select stored.*
            from {{ relation }} as stored
            where {{ equal(keys, "stored", "wanted") }}
            offset 0  -- or PostgreSQL makes a join of it
        ) as stored
    )
{%- endmacro %}
