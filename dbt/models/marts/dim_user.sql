{{ config(incremental_strategy="upsert", unique_key="user_id") }}
{{ require_whole_history() }}

with catalog_user as (
    select * from {{ ref("stg_user_profile") }}
),

placeholder as (
    select distinct new_event.user_id
    from {{ ref("int_new_event") }} as new_event
    where not exists (
        select from catalog_user
        where catalog_user.user_id = new_event.user_id
    )
)

select
    user_id,
    username,
    email,
    full_name,
    first_name,
    last_name,
    sex,
    age,
    country,
    city,
    signup_date
from catalog_user
union all
select
    user_id,
    null as username,
    null as email,
    'Unknown' as full_name,
    null as first_name,
    null as last_name,
    null as sex,
    null as age,
    'Unknown' as country,
    'Unknown' as city,
    null as signup_date
from placeholder
{% if is_incremental() %}
    -- what is so already needs no write, nor even a row lock
    except
    select
        user_id,
        username,
        email,
        full_name,
        first_name,
        last_name,
        sex,
        age,
        country,
        city,
        signup_date
    from {{ this }}
{% endif %}
