-- In int_event as the run before left it, and after a run that was killed perhaps with events of this one.
{{ config(post_hook="analyze {{ this }}") }}

{% set history = event_history() %}

{% if history is none %}
    select event_id from {{ ref("int_new_event") }}
    where false
{% else %}
    select event_id
    from {{ look_up(history, ["event_id"], ref("int_new_event")) }} as stored
{% endif %}
