-- The tables of version 1, as the first postgres_setup.sql made them, for a test that brings them up to date.
-- Roles are those of the server.
begin;
-- 4. Schemas --------------------------------------------------------------------------------------

revoke all on schema public from public;

create schema if not exists raw authorization pipeline_owner;
create schema if not exists ops authorization pipeline_owner;
create schema if not exists staging authorization transformer;
create schema if not exists intermediate authorization transformer;
create schema if not exists snapshots authorization transformer;
create schema if not exists marts authorization transformer;

comment on schema raw is 'Events, rejects and the catalog as the tasks loaded them.';
comment on schema ops is 'The ledger: which raw file was loaded, and how it went.';
comment on schema staging is 'dbt: raw with names and types settled; views only.';
comment on schema intermediate is 'dbt: what a run needs on the way to the star.';
comment on schema snapshots is 'dbt: how the catalog changed over time.';
comment on schema marts is 'dbt: the star that reports read.';

-- 5. Tables ---------------------------------------------------------------------------------------

set local role pipeline_owner;

create table if not exists ops.load_file (
    load_id bigint generated always as identity primary key,
    topic text not null,
    epoch int not null,
    kafka_partition int not null,
    start_offset bigint not null,
    next_offset bigint,
    path text not null,
    file_bytes bigint,
    record_count bigint,
    event_count bigint,
    reject_count bigint,
    status text not null check (status in ('loaded', 'quarantined')),
    error text,
    loaded_at timestamptz not null default now(),
    unique (topic, epoch, kafka_partition, start_offset)
);
comment on table ops.load_file is
'The ledger: one row per raw file, written in the transaction that loads it. Whoever inserts the row first loads the file.';
comment on column ops.load_file.load_id is
'Grows, but may become visible out of order when two loaders run: never compare with max(load_id).';
comment on column ops.load_file.epoch is 'Counts how often the topic was created anew; an operator raises it.';
comment on column ops.load_file.start_offset is 'First offset of the file.';
comment on column ops.load_file.next_offset is 'One after the last offset of the file.';
comment on column ops.load_file.event_count is 'Records that became a row of raw.log_event.';
comment on column ops.load_file.reject_count is 'Records that became a row of raw.reject.';
comment on column ops.load_file.status is 'loaded, or quarantined: the file could not be read, and none of it is in raw.';
comment on column ops.load_file.error is 'Why the file is quarantined.';

create table if not exists raw.log_event (
    load_id bigint not null,
    kafka_partition int not null,
    kafka_offset bigint not null,
    kafka_time timestamptz not null,
    event_id text not null,
    event_time timestamptz not null,
    level text not null,
    service text not null,
    event_type text not null,
    user_id text not null,
    session_id text not null,
    product_id text,
    session_duration int,
    device_type text,
    geo_country text,
    geo_city text,
    amount double precision,
    payment_method text,
    items text,
    quantity int,
    shipping_address text,
    query text,
    results_count int,
    filters text,
    searched_at timestamptz,
    order_id text,
    shipping_method text,
    delivery_estimate text,
    completed_at timestamptz,
    attempted_amount double precision,
    failed_at timestamptz,
    error_code text,
    message text,
    error_at timestamptz
);
comment on table raw.log_event is
'One row per valid Kafka record, duplicates included; only ever appended to.';
comment on column raw.log_event.load_id is 'The raw file the record came from: ops.load_file.';
comment on column raw.log_event.kafka_time is 'The record''s own time in Kafka.';
comment on column raw.log_event.event_id is 'What happened; topic:partition:offset where the sender gave none.';
comment on column raw.log_event.event_time is 'When the sender says that it happened.';
comment on column raw.log_event.session_duration is 'Seconds.';
comment on column raw.log_event.items is 'purchase, order_complete: JSON array of product_id and quantity.';
comment on column raw.log_event.quantity is 'purchase, order_complete: sum of the items'' quantities.';
comment on column raw.log_event.filters is 'search: JSON object.';

-- Rows arrive in the order of load_id, so a block-range index of a few pages finds those of one file,
-- and COPY keeps its speed; autosummarize, because new pages are the only ones ever looked for.
create index if not exists log_event_load_id on raw.log_event
using brin (load_id) with (pages_per_range = 16, autosummarize = on);

create table if not exists raw.reject (
    load_id bigint not null,
    kafka_partition int not null,
    kafka_offset bigint not null,
    kafka_time timestamptz not null,
    reason text not null,
    field text,
    key bytea,
    payload bytea
);
comment on table raw.reject is 'One row per Kafka record that breaks the event contract, its bytes as received; only ever appended to.';
comment on column raw.reject.reason is 'The rule that it breaks.';
comment on column raw.reject.field is 'The field that breaks it, where there is one.';

create index if not exists reject_load_id on raw.reject
using brin (load_id) with (pages_per_range = 16, autosummarize = on);

create table if not exists raw.user_profile (
    user_id text primary key,
    username text,
    email text,
    full_name text,
    first_name text,
    last_name text,
    sex text,
    age int,
    country text,
    city text,
    signup_date date,
    updated_at timestamptz not null default now(),
    file_hash text
);
-- tables made before this column was thought of
alter table raw.user_profile add column if not exists file_hash text;
comment on table raw.user_profile is 'Users of the catalog, as they are now.';
comment on column raw.user_profile.updated_at is 'Moves only when the content changes.';
comment on column raw.user_profile.file_hash is 'Of the row in users.json: as long as it stays, the row here is left as it is.';

create table if not exists raw.product (
    product_id text primary key,
    name text,
    category text,
    subcategory text,
    price double precision,
    brand text,
    description text,
    stock int,
    rating double precision,
    date_added date,
    weight text,
    updated_at timestamptz not null default now(),
    file_hash text
);
alter table raw.product add column if not exists file_hash text;
comment on table raw.product is 'Products of the catalog, as they are now; dbt keeps what they were (snapshots.product_history).';
comment on column raw.product.updated_at is 'Moves only when the content changes.';
comment on column raw.product.file_hash is 'Of the row in products.json: as long as it stays, a price or stock changed here is kept.';

-- 6. Grants ---------------------------------------------------------------------------------------

grant usage on schema raw, ops to loader, transformer;
grant select on all tables in schema raw, ops to transformer;

grant select, insert on raw.log_event, raw.reject to loader;
grant select, insert, update on raw.user_profile, raw.product to loader;
-- update: a quarantined file that was repaired is loaded under its row
grant select, insert, update on ops.load_file to loader;

reset role;

grant usage on schema marts to bi_reader;
grant select on all tables in schema marts to bi_reader;
-- a table that dbt builds anew is readable from its first moment
alter default privileges for role transformer in schema marts grant select on tables to bi_reader;

commit;
