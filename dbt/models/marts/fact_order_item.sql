-- An order that is completed once more may have fewer lines than before; of others, none goes.
-- depends_on: {{ ref("int_sales_change") }}
{{
    config(
        incremental_strategy="replace",
        unique_key=["order_id", "line_number"],
        incremental_predicates=[
            "current_row.order_id = any(array("
            ~ "select event.order_id from intermediate.int_touched_event as event"
            ~ " where event.event_type = 'order_complete'"
            ~ " and event.order_id in (select item.order_id from intermediate.int_touched_order_item as item)"
            ~ " group by event.order_id having count(*) > 1))"
        ],
        indexes=[{"columns": ["date_sk"]}],
        post_hook=["{{ ensure_index('product_version_id', condition='product_version_id is null') }}", "{{ note_anew() }}"],
        meta={
            "new_rows": "view",
            "noted_in": "int_sales_change",
            "counted_by": "count_sales",
            "replaces": ["order_id"],
        },
    )
}}
{{ require_whole_history() }}

select
    order_id,
    line_number,
    user_id,
    product_id,
    product_version_id,
    date_sk,
    quantity,
    unit_price,
    amount
from {{ ref("int_touched_order_item") }}
