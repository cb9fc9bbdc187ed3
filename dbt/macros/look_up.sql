{#-
  A subquery: the rows of `relation` whose `keys` are in `wanted`, which has each once. Where a run's events are few beside
  all others, each is looked up in its index, which costs the same however long the history is; PostgreSQL would join, and
  read all of the history, until there is some thirty times as much as is new. Where they are many, a join is cheaper.
  `one_by_one` says which, and few_new_events() knows.
-#}
{% macro look_up(relation, keys, wanted, one_by_one) -%}
    {%- set matches -%}
        {%- for key in keys %}stored.{{ key }} = wanted.{{ key }}{{ " and " if not loop.last }}{% endfor -%}
    {%- endset -%}
    (
        select stored.*
        from {{ wanted }} as wanted
        {% if one_by_one -%}
            cross join lateral (
                select stored.*
                from {{ relation }} as stored
                where {{ matches }}
                offset 0  -- or PostgreSQL makes a join of it
            ) as stored
        {%- else -%}
            inner join {{ relation }} as stored on {{ matches }}
        {%- endif %}
    )
{%- endmacro %}
