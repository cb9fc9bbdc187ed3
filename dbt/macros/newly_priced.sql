{#-
  A subquery: lines of baskets that have no price, and get one now that `history` knows their products.
-#}
{% macro newly_priced(history) -%}
    (
        select item.*
        from {{ built_relation("marts", "fact_order_item") }} as item
        where
            item.product_version_id is null
            and exists (
                select from {{ history }} as known
                where known.product_id = item.product_id
            )
    )
{%- endmacro %}
