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
from {{ source("raw", "user_profile") }}
