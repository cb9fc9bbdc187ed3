{{ config(incremental_strategy="upsert", unique_key="date_sk") }}
{{ require_whole_history() }}

with day as (
    -- to the end of the year after next: reports look ahead, and the calendar grows once a year
    select series.day::date as full_date
    from
        generate_series(
            date '2000-01-01',
            make_date(extract(year from now() at time zone 'UTC')::integer + 2, 12, 31),
            interval '1 day'
        ) as series (day)

    union

    -- no date that an event names may stop the run
    select new_event.event_at::date as full_date
    from {{ ref("int_new_event") }} as new_event
)

select
    {{ date_sk("full_date") }} as date_sk,
    full_date,
    extract(year from full_date)::integer as year,
    extract(month from full_date)::integer as month,
    extract(day from full_date)::integer as day,
    to_char(full_date, 'FMDay') as day_name,
    extract(week from full_date)::integer as week,
    extract(quarter from full_date)::integer as quarter
from day
{% if is_incremental() %}
    except
    select
        date_sk,
        full_date,
        year,
        month,
        day,
        day_name,
        week,
        quarter
    from {{ this }}
{% endif %}
