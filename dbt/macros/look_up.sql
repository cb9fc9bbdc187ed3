{#-
  A subquery: the rows of `relation` whose `keys` are in `wanted`, which has each once. Where a run's events are few beside
  all others, each is looked up in its index, which costs the same however long the history is; PostgreSQL would join, and
  read all of the history, until there is some thirty times as much as is new. Where they are many, a join is cheaper.
-#}
{% macro look_up(relation, keys, wanted) -%}
    (
        select found.*
        from {{ wanted }} as wanted
        {% if few_new_events() -%}
            cross join lateral (
                select stored.*
                from {{ relation }} as stored
                where
                    {% for key in keys -%}
                        stored.{{ key }} = wanted.{{ key }} {{ "and " if not loop.last }}
                    {%- endfor %}
                offset 0  -- or PostgreSQL makes a join of it
            ) as found
        {%- else -%}
            inner join {{ relation }} as found
                on
                    {% for key in keys -%}
                        found.{{ key }} = wanted.{{ key }} {{ "and " if not loop.last }}
                    {%- endfor %}
        {%- endif %}
    )
{%- endmacro %}
