-- depends_on: {{ ref("int_session_change") }}
{{
    config(
        incremental_strategy="upsert",
        unique_key=["session_id", "user_id"],
        indexes=[{"columns": ["date_sk"]}],
        post_hook="{{ note_anew() }}",
        meta={
            "new_rows": "view",
            "noted_in": "int_session_change",
            "counted_by": "count_sessions",
            "replaces": ["session_id", "user_id"],
        },
    )
}}
{{ require_whole_history() }}

select
    user_id,
    session_id,
    date_sk,
    started_at,
    ended_at,
    duration_seconds,
    device_type,
    geo_country,
    geo_city,
    events,
    searches,
    purchases,
    orders_completed,
    orders_failed,
    errors,
    has_search,
    has_purchase,
    has_completion,
    revenue
from {{ ref("int_touched_session") }}
