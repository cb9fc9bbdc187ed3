//! The marts that are compared, and how their rows are written down.
//!
//! A row is one text: its columns in the order given here, moments in microseconds, money in cents, `-` for nothing.

/// A table of the schema marts, and its columns as SQL that writes them as this module does.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Columns, or expressions of them.
    pub columns: &'static [&'static str],
}

/// Every mart but the calendar.
pub const TABLES: [Table; 12] = [
    Table {
        name: "dim_user",
        columns: &[
            "user_id",
            "username",
            "email",
            "full_name",
            "first_name",
            "last_name",
            "sex",
            "age",
            "country",
            "city",
            "signup_date",
        ],
    },
    Table {
        name: "dim_product",
        columns: &[
            "product_id",
            "name",
            "category",
            "subcategory",
            "price",
            "brand",
            "description",
            "stock",
            "rating",
            "date_added",
            "weight",
        ],
    },
    Table {
        name: "fact_event",
        columns: &[
            "event_id",
            "user_id",
            "product_id",
            "date_sk",
            "event_type",
            "session_id",
            "device_type",
            "geo_country",
            "geo_city",
        ],
    },
    Table {
        name: "fact_order",
        columns: &[
            "order_id",
            "user_id",
            "product_id",
            "date_sk",
            "amount",
            "quantity",
            "shipping_address",
            "shipping_method",
            "delivery_estimate",
            "(extract(epoch from completed_at) * 1000000)::bigint",
            "attempted_amount",
            "(extract(epoch from failed_at) * 1000000)::bigint",
            "device_type",
            "geo_country",
            "geo_city",
        ],
    },
    Table {
        name: "fact_order_item",
        columns: &[
            "order_id",
            "line_number",
            "user_id",
            "product_id",
            "product_version_id",
            "date_sk",
            "quantity",
            "trim_scale(unit_price * 100)",
            "trim_scale(amount * 100)",
        ],
    },
    Table {
        name: "dim_product_history",
        columns: &[
            "product_version_id",
            "product_id",
            "version",
            "name",
            "category",
            "subcategory",
            "price",
            "brand",
            "description",
            "stock",
            "rating",
            "date_added",
            "weight",
            "(extract(epoch from valid_from) * 1000000)::bigint",
            "case when valid_to != '9999-12-31' then (extract(epoch from valid_to) * 1000000)::bigint end",
            "is_current",
            "is_deleted",
        ],
    },
    Table {
        name: "fact_session",
        columns: &[
            "user_id",
            "session_id",
            "date_sk",
            "(extract(epoch from started_at) * 1000000)::bigint",
            "(extract(epoch from ended_at) * 1000000)::bigint",
            "duration_seconds",
            "device_type",
            "geo_country",
            "geo_city",
            "events",
            "searches",
            "purchases",
            "orders_completed",
            "orders_failed",
            "errors",
            "has_search",
            "has_purchase",
            "has_completion",
            "trim_scale(revenue * 100)",
        ],
    },
    Table {
        name: "funnel",
        columns: &[
            "date_sk",
            "device_type",
            "geo_country",
            "sessions",
            "searched",
            "purchased",
            "completed",
        ],
    },
    Table {
        name: "daily_revenue",
        columns: &[
            "date_sk",
            "orders",
            "customers",
            "quantity",
            "trim_scale(revenue * 100)",
            "lost_orders",
            "trim_scale(lost_revenue * 100)",
        ],
    },
    Table {
        name: "cohort_retention",
        columns: &[
            "cohort_week - date '1970-01-01'",
            "weeks_since",
            "cohort_size",
            "customers",
            "orders",
            "trim_scale(revenue * 100)",
        ],
    },
    Table {
        name: "failures_by_hour",
        columns: &[
            "(extract(epoch from hour_at) * 1000000)::bigint",
            "failure",
            "date_sk",
            "failures",
            "users",
            "trim_scale(attempted_amount * 100)",
        ],
    },
    Table {
        name: "product_performance",
        columns: &[
            "product_id",
            "date_sk",
            "searches",
            "purchases",
            "failed_orders",
            "errors",
            "orders",
            "quantity",
            "trim_scale(revenue * 100)",
        ],
    },
];
/// The calendar, which no event makes.
pub const DATES: Table = Table {
    name: "dim_date",
    columns: &[
        "date_sk",
        "full_date - date '1970-01-01'",
        "year",
        "month",
        "day",
        "day_name",
        "week",
        "quarter",
    ],
};

impl Table {
    /// A query for its rows.
    pub fn query(&self) -> String {
        let columns = self.columns.iter();
        let texts: Vec<String> = columns
            .map(|column| format!("coalesce(({column})::text, '-')"))
            .collect();
        format!(
            "select concat_ws('|', {}) from marts.{}",
            texts.join(", "),
            self.name
        )
    }
}
