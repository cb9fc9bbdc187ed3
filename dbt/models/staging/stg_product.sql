select
    product_id,
    name,
    category,
    subcategory,
    price,
    brand,
    description,
    stock,
    rating,
    date_added,
    weight,
    updated_at at time zone 'UTC' as updated_at
from {{ source("raw", "product") }}
