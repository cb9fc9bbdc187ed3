-- depends_on: {{ ref("int_interest_change") }}
{{
    config(
        incremental_strategy="insert_new",
        unique_key="event_id",
        post_hook=["{{ ensure_index('date_sk', 'brin') }}", "{{ summarize_block_ranges() }}", "{{ note_anew() }}"],
        meta={
            "new_rows": "view",
            "noted_in": "int_interest_change",
            "counted_by": "count_interest",
        },
    )
}}
{{ require_whole_history() }}

select
    event_id,
    user_id,
    product_id,
    date_sk,
    event_type,
    session_id,
    device_type,
    geo_country,
    geo_city
from {{ ref("int_new_event") }}
