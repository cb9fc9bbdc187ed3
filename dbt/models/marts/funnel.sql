-- depends_on: {{ ref("fact_session") }}
-- depends_on: {{ ref("int_session_change") }}
{%- set notes = ["int_session_change"] %}
{{
    config(
        incremental_strategy="replace",
        unique_key=["date_sk", "device_type", "geo_country"],
        incremental_predicates=[noted(notes, ["date_sk", "device_type", "geo_country"])],
        pre_hook="{{ take_up(" ~ notes ~ ") }}",
        post_hook="{{ taken_up(" ~ notes ~ ") }}",
    )
}}
{{ require_whole_history() }}

{% set from_notes = goes_on(notes) %}
{% if from_notes %}
    with change as (
        select
            date_sk,
            device_type,
            geo_country,
            sum(sessions) as sessions,
            sum(searched) as searched,
            sum(purchased) as purchased,
            sum(completed) as completed
        from {{ ref("int_session_change") }}
        group by date_sk, device_type, geo_country
    )

    select
        change.date_sk,
        change.device_type,
        change.geo_country,
        (coalesce(current_row.sessions, 0) + change.sessions)::integer as sessions,
        (coalesce(current_row.searched, 0) + change.searched)::integer as searched,
        (coalesce(current_row.purchased, 0) + change.purchased)::integer as purchased,
        (coalesce(current_row.completed, 0) + change.completed)::integer as completed
    from change
    left join {{ this }} as current_row
        on
            change.date_sk = current_row.date_sk
            and change.device_type = current_row.device_type
            and change.geo_country = current_row.geo_country
    where coalesce(current_row.sessions, 0) + change.sessions != 0
{% else %}
    {{ count_sessions(ref("fact_session")) }}
{% endif %}
