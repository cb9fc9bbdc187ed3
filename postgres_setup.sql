-- The warehouse: roles, schemas, the tables that the tasks write, and who may do what.
--
-- Run by a superuser in the database the warehouse lives in, as often as you like; it only adds what
-- is missing, and puts passwords, settings and grants back to what is written here:
--
--   psql -d airflow -f postgres_setup.sql
--
-- The passwords come from the environment (LOADER_PASSWORD, AUDITOR_PASSWORD, TRANSFORMER_PASSWORD,
-- MAINTAINER_PASSWORD, BI_READER_PASSWORD, AIRFLOW_META_PASSWORD), where no process list shows them, or from psql variables of the same names
-- in small letters (-v loader_password=...). One that is missing or empty ends the script with code 3.
--
-- | role           | login | may                                                                    |
-- |----------------|-------|------------------------------------------------------------------------|
-- | pipeline_owner | no    | owns raw and ops, so that no login can alter or drop what was received |
-- | loader         | yes   | append to raw, heal rejects, load single files anew, keep the ledger   |
-- |                |       | in ops, upsert the catalog                                             |
-- | auditor        | yes   | read events, rejects, ledger and star; append its verdicts             |
-- | transformer    | yes   | read raw and ops; own the schemas that dbt builds                      |
-- | maintainer     | yes   | delete replaced verdicts, refresh statistics, by functions alone       |
-- | bi_reader      | yes   | read marts, nothing else                                               |
-- | airflow_meta   | yes   | own Airflow's database, and see no other                               |

\set ON_ERROR_STOP on
\set QUIET on
-- a failing statement is not copied into the server's log: it may hold a password
set log_min_error_statement = panic;
set log_statement = none;
set client_min_messages = warning;

-- 0. Version --------------------------------------------------------------------------------------

-- Raised by 1 with every change of a table below, and with SCHEMA_VERSION in tasks/warehouse: a task asks for it, and ends with 2
-- where it finds an older one. Section 5 has a line on each version, and how tables of the one before become it.
\set schema_version 2

select to_regclass('ops.schema_version') is not null as has_version
\gset
\if :has_version
  select coalesce(max(version), 0) > :schema_version as is_newer, coalesce(max(version), 0) as found_version from ops.schema_version
  \gset
  \if :is_newer
    -- after a release was taken back, say: its tasks can live with them
    \warn nothing is changed: the tables are of version :found_version, this script is of :schema_version
    \quit
  \endif
\endif

-- 1. Passwords ------------------------------------------------------------------------------------

\if :{?loader_password}
\else
  \getenv loader_password LOADER_PASSWORD
\endif
\if :{?auditor_password}
\else
  \getenv auditor_password AUDITOR_PASSWORD
\endif
\if :{?transformer_password}
\else
  \getenv transformer_password TRANSFORMER_PASSWORD
\endif
\if :{?maintainer_password}
\else
  \getenv maintainer_password MAINTAINER_PASSWORD
\endif
\if :{?bi_reader_password}
\else
  \getenv bi_reader_password BI_READER_PASSWORD
\endif
\if :{?airflow_meta_password}
\else
  \getenv airflow_meta_password AIRFLOW_META_PASSWORD
\endif

-- psql leaves an unset variable as it is written, so each gets a value that can be checked
\if :{?loader_password}
\else
  \set loader_password ''
\endif
\if :{?auditor_password}
\else
  \set auditor_password ''
\endif
\if :{?transformer_password}
\else
  \set transformer_password ''
\endif
\if :{?maintainer_password}
\else
  \set maintainer_password ''
\endif
\if :{?bi_reader_password}
\else
  \set bi_reader_password ''
\endif
\if :{?airflow_meta_password}
\else
  \set airflow_meta_password ''
\endif

select
    :'loader_password' = '' as loader_missing,
    :'auditor_password' = '' as auditor_missing,
    :'transformer_password' = '' as transformer_missing,
    :'maintainer_password' = '' as maintainer_missing,
    :'bi_reader_password' = '' as bi_reader_missing,
    :'airflow_meta_password' = '' as airflow_meta_missing
\gset
\if :loader_missing
  do $$ begin raise exception 'LOADER_PASSWORD is not set: give it in the environment or with -v loader_password=...'; end $$;
\endif
\if :auditor_missing
  do $$ begin raise exception 'AUDITOR_PASSWORD is not set: give it in the environment or with -v auditor_password=...'; end $$;
\endif
\if :transformer_missing
  do $$ begin raise exception 'TRANSFORMER_PASSWORD is not set: give it in the environment or with -v transformer_password=...'; end $$;
\endif
\if :maintainer_missing
  do $$ begin raise exception 'MAINTAINER_PASSWORD is not set: give it in the environment or with -v maintainer_password=...'; end $$;
\endif
\if :bi_reader_missing
  do $$ begin raise exception 'BI_READER_PASSWORD is not set: give it in the environment or with -v bi_reader_password=...'; end $$;
\endif
\if :airflow_meta_missing
  do $$ begin raise exception 'AIRFLOW_META_PASSWORD is not set: give it in the environment or with -v airflow_meta_password=...'; end $$;
\endif

-- 2. Roles ----------------------------------------------------------------------------------------

select format('create role %I', role_name)
from unnest(array['pipeline_owner', 'loader', 'auditor', 'transformer', 'maintainer', 'bi_reader', 'airflow_meta']) as role_name
where not exists (select from pg_catalog.pg_roles where rolname = role_name)
\gexec

alter role pipeline_owner nologin nosuperuser nocreatedb nocreaterole;
alter role loader login nosuperuser nocreatedb nocreaterole password :'loader_password';
alter role auditor login nosuperuser nocreatedb nocreaterole password :'auditor_password';
alter role transformer login nosuperuser nocreatedb nocreaterole password :'transformer_password';
alter role maintainer login nosuperuser nocreatedb nocreaterole password :'maintainer_password';
alter role bi_reader login nosuperuser nocreatedb nocreaterole connection limit 20 password :'bi_reader_password';
alter role airflow_meta login nosuperuser nocreatedb nocreaterole password :'airflow_meta_password';

alter role loader set timezone = 'UTC';
alter role auditor set timezone = 'UTC';
alter role transformer set timezone = 'UTC';
alter role maintainer set timezone = 'UTC';
alter role bi_reader set timezone = 'UTC';

-- A task that was killed must not keep working in the server, nor hold a lock over its next try.
alter role loader set client_connection_check_interval = '5s';
alter role auditor set client_connection_check_interval = '5s';
alter role transformer set client_connection_check_interval = '5s';
alter role maintainer set client_connection_check_interval = '5s';
-- Whoever waits for an exclusive lock makes every later reader wait behind it. dbt takes none on the marts once they are
-- there; where it needs one (its own views, a table that it makes), better to fail soon and be tried again.
alter role transformer set lock_timeout = '10s';
-- A run looks up its few rows in tables that only grow: through their indexes, which the default, made for
-- spinning disks, puts off until the history is long.
alter role transformer set random_page_cost = 1.1;
-- dbt builds four models side by side, each with several sorts and hashes: 4 MB, the default, sends all of them to disk, and
-- workers of parallel queries would each take as much again. Compiling queries costs more than it gains here.
alter role transformer set work_mem = '24MB';
alter role transformer set max_parallel_workers_per_gather = 0;
alter role transformer set jit = off;

alter role bi_reader set statement_timeout = '5min';
alter role bi_reader set idle_in_transaction_session_timeout = '1min';
alter role bi_reader set default_transaction_read_only = on;

-- 3. Databases ------------------------------------------------------------------------------------

-- outside a transaction, as PostgreSQL wants it
select 'create database airflow_meta owner airflow_meta template template0 encoding ''UTF8'''
where not exists (select from pg_catalog.pg_database where datname = 'airflow_meta')
\gexec

select current_database() as warehouse
\gset

begin;

-- no role connects anywhere unless it is said here
revoke all on database airflow_meta, postgres, template1 from public;
revoke all on database :"warehouse" from public;
grant connect, temporary on database :"warehouse" to loader, transformer;
grant connect on database :"warehouse" to auditor, maintainer, bi_reader;

-- 4. Schemas --------------------------------------------------------------------------------------

revoke all on schema public from public;

create schema if not exists raw authorization pipeline_owner;
create schema if not exists ops authorization pipeline_owner;
create schema if not exists staging authorization transformer;
create schema if not exists intermediate authorization transformer;
create schema if not exists snapshots authorization transformer;
create schema if not exists marts authorization transformer;
create schema if not exists test_failures authorization transformer;

comment on schema raw is 'Events, rejects and the catalog as the tasks loaded them.';
comment on schema ops is 'The ledger: which raw file was loaded, and how it went.';
comment on schema staging is 'dbt: raw with names and types settled; views only.';
comment on schema intermediate is 'dbt: what a run needs on the way to the star.';
comment on schema snapshots is 'dbt: how the catalog changed over time.';
comment on schema marts is 'dbt: the star that reports read.';
comment on schema test_failures is 'dbt: the rows that a failed test found, a table per test.';

-- 5. Tables ---------------------------------------------------------------------------------------

set local role pipeline_owner;

create table if not exists ops.schema_version (
    version int primary key,
    applied_at timestamptz not null default now(),
    description text not null
);
comment on table ops.schema_version is 'One row per version that these tables have been brought to, by postgres_setup.sql.';

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
'Grows, but may become visible out of order when two loaders run: never compare with max(load_id). A file that is loaded anew gets a new one.';
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
'One row per valid Kafka record, duplicates included; appended to, or replaced by whole raw files (load --reload).';
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

-- Event times come nearly in order too. Dashboards ask for minutes, not for the history.
create index if not exists log_event_event_time on raw.log_event
using brin (event_time) with (pages_per_range = 16, autosummarize = on);

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
comment on table raw.reject is 'One row per Kafka record that breaks the event contract, its bytes as received. One that a later parser takes moves to raw.log_event (load --replay-rejects).';
comment on column raw.reject.reason is 'The rule that it breaks.';
comment on column raw.reject.field is 'The field that breaks it, where there is one.';

create index if not exists reject_load_id on raw.reject
using brin (load_id) with (pages_per_range = 16, autosummarize = on);

-- A reject that a later version of the parser takes becomes a row of raw.log_event under the load_id of its file. The star
-- has built that load already: the number of the replay, of the same sequence as load ids, says that it has to look again.
create table if not exists ops.replay (
    replay_id bigint primary key default nextval('ops.load_file_load_id_seq'),
    load_id bigint not null,
    healed_count bigint not null check (healed_count > 0),
    replayed_at timestamptz not null default now()
);
comment on table ops.replay is
'One row per raw file of which rejects were healed, and per replay that did it; written in the transaction that heals them.';
comment on column ops.replay.replay_id is 'In int_built_load once the star holds the healed events.';
comment on column ops.replay.load_id is 'The raw file: ops.load_file. One that was loaded anew since has another load_id.';

create table if not exists ops.healed_reject (
    replay_id bigint not null references ops.replay (replay_id),
    kafka_partition int not null,
    kafka_offset bigint not null,
    reason text not null,
    field text
);
comment on table ops.healed_reject is 'One row per reject that became an event: what it was rejected for before.';
create index if not exists healed_reject_replay_id on ops.healed_reject (replay_id);

-- What audit found of each raw file in each store.
create sequence if not exists ops.audit_run_id;
create table if not exists ops.audit_run (
    run_id bigint primary key,
    ended_at timestamptz not null default now(),
    topic text not null,
    stores text not null,
    is_full boolean not null,
    files bigint not null,
    records bigint not null,
    pending bigint not null,
    differences bigint not null
);
comment on table ops.audit_run is 'One row per run of audit that came to its end; only ever appended to.';
comment on column ops.audit_run.stores is 'Those that were asked.';
comment on column ops.audit_run.files is 'Raw files looked at; those found clean before are not.';
comment on column ops.audit_run.pending is 'Pairs of file and store that are looked at again.';
comment on column ops.audit_run.differences is 'Differences that nothing explains: the run ended with 2 if there are any.';

create table if not exists ops.audit (
    audit_id bigint generated always as identity primary key,
    run_id bigint not null,
    audited_at timestamptz not null default now(),
    topic text not null,
    epoch int not null,
    kafka_partition int not null,
    start_offset bigint not null,
    next_offset bigint not null,
    store text not null check (store in ('chain', 'kafka', 'postgres', 'cassandra', 'minutes', 'star')),
    state text not null check (state in ('ok', 'expired', 'gap', 'accepted', 'pending', 'replay', 'quarantined', 'different')),
    expected bigint not null,
    found bigint not null,
    rejects bigint not null,
    duplicates bigint not null,
    digest_expected bigint not null,
    digest_found bigint not null,
    load_version bigint,
    file_bytes bigint,
    file_modified bigint,
    detail text
);
comment on table ops.audit is
'Verdicts of audit: one row per raw file and store, and one more whenever the verdict changes; only ever appended to.';
comment on column ops.audit.kafka_partition is '-1: the topic as a whole.';
comment on column ops.audit.start_offset is 'First offset of the raw file; of a hole in the chain; of a block of offsets (store minutes).';
comment on column ops.audit.next_offset is 'One after the last offset.';
comment on column ops.audit.expected is 'Records that the store has to account for; star: events.';
comment on column ops.audit.found is 'Records that it accounts for: rows, rejects and duplicates.';
comment on column ops.audit.digest_expected is 'Sum of 64-bit hashes of what the raw file asks for, whatever the order.';
comment on column ops.audit.digest_found is 'The same of what the store holds.';
comment on column ops.audit.load_version is 'postgres, star: the load, or the last replay of its rejects, that was looked at.';
comment on column ops.audit.file_modified is 'Of the raw file, in milliseconds since 1970, as HDFS lists it; with its size it tells whether it was written again.';
comment on column ops.audit.detail is 'Which offsets, and why.';
create index if not exists audit_place on ops.audit (topic, epoch, kafka_partition, start_offset, store, audit_id);

create or replace view ops.audit_latest as
select distinct on (topic, epoch, kafka_partition, start_offset, store) *
from ops.audit
order by topic, epoch, kafka_partition, start_offset, store, audit_id desc;
comment on view ops.audit_latest is 'Grain: one row per raw file and store, the newest verdict.';

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

-- Last, and in the same transaction: whoever finds a version finds all of it.
insert into ops.schema_version (version, description) values
(1, 'raw and ops: events, rejects, ledger, catalog'),
-- all of it new tables, indexes, views and functions, and two columns that are added where they are missing
(2, 'verdicts of audit, replays of rejects, upkeep')
on conflict (version) do nothing;

-- 6. What no role may do but by these functions -----------------------------------------------------

-- Takes the rows of one raw file out, and gives the file a new load_id, so that the star builds it again. For a transaction
-- that then writes the rows anew. Null when the file is not loaded under this load_id (any more).
create or replace function ops.begin_reload(reloaded bigint) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    new_load_id bigint;
begin
    -- locks the file's row: of two at one file the second finds no such load
    update ops.load_file
    set load_id = default, record_count = 0, event_count = 0, reject_count = 0, loaded_at = now()
    where load_id = reloaded and status = 'loaded'
    returning load_id into new_load_id;
    if new_load_id is not null then
        delete from raw.log_event where load_id = reloaded;
        delete from raw.reject where load_id = reloaded;
    end if;
    return new_load_id;
end $$;
comment on function ops.begin_reload is 'load --reload: takes one raw file out of raw and gives it a new load_id.';

-- Forgets everything that came from the raw files of a topic, so that `load` brings all of it again: make rebuild. The star
-- stays as it is until dbt builds it anew. Gives the number of files forgotten.
create or replace function ops.forget_topic(forgotten text) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    files bigint;
begin
    lock table ops.load_file in access exclusive mode;
    select count(*) into files from ops.load_file where topic = forgotten;
    if exists (select from ops.load_file where topic != forgotten) then
        delete from raw.log_event where load_id in (select load_id from ops.load_file where topic = forgotten);
        delete from raw.reject where load_id in (select load_id from ops.load_file where topic = forgotten);
        delete from ops.load_file where topic = forgotten;
    else
        truncate raw.log_event, raw.reject, ops.load_file;
    end if;
    delete from ops.healed_reject where replay_id in (
        select replay_id from ops.replay where load_id not in (select load_id from ops.load_file)
    );
    delete from ops.replay where load_id not in (select load_id from ops.load_file);
    -- what an audit found of files that are loaded anew
    if to_regclass('ops.audit') is not null then
        execute 'delete from ops.audit where topic = $1' using forgotten;
    end if;
    return files;
end $$;
comment on function ops.forget_topic is 'make rebuild: empties raw and the ledger of one topic. For the owner alone.';

-- Deletes verdicts that are older than so many days and that newer ones have replaced, and runs of audit of which no verdict is
-- left. `audit` and reports read ops.audit_latest, which stays as it is, whatever an audit appends meanwhile: the newest
-- verdict of a place is never deleted. Of each topic the newest run stays.
create or replace function ops.prune_audit(keep_days int, out verdicts bigint, out runs bigint)
language plpgsql security definer set search_path = '' as $$
declare
    oldest timestamptz = now() - make_interval(days => keep_days);
begin
    if keep_days is null or keep_days < 7 then
        raise exception 'verdicts are kept for 7 days at least, not %', keep_days;
    end if;
    delete from ops.audit as verdict
    where verdict.audited_at < oldest and exists (
        select from ops.audit as newer
        where (newer.topic, newer.epoch, newer.kafka_partition, newer.start_offset, newer.store)
            = (verdict.topic, verdict.epoch, verdict.kafka_partition, verdict.start_offset, verdict.store)
            and newer.audit_id > verdict.audit_id
    );
    get diagnostics verdicts = row_count;
    delete from ops.audit_run as run
    where run.ended_at < oldest
        and exists (select from ops.audit_run as newer where newer.topic = run.topic and newer.run_id > run.run_id)
        and not exists (select from ops.audit as verdict where verdict.run_id = run.run_id);
    get diagnostics runs = row_count;
end $$;
comment on function ops.prune_audit is 'maintain: deletes what newer verdicts have replaced. For the maintainer alone.';

-- Statistics of a table of raw or ops, and its block-range indexes: only the owner may, and owners do not log in. Vacuum is
-- autovacuum's, whose settings are with the tables: no function can run it.
create or replace function ops.refresh_statistics(table_name text) returns void
language plpgsql security definer set search_path = '' as $$
declare
    refreshed regclass;
    block_range_index regclass;
begin
    select class.oid into refreshed
    from pg_catalog.pg_class as class
    inner join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname in ('raw', 'ops') and class.relkind = 'r'
        and namespace.nspname || '.' || class.relname = table_name;
    if refreshed is null then
        raise exception 'there is no table % in raw or ops', table_name;
    end if;
    execute format('analyze %s', refreshed);
    for block_range_index in
        select index.indexrelid
        from pg_catalog.pg_index as index
        inner join pg_catalog.pg_class as class on class.oid = index.indexrelid
        inner join pg_catalog.pg_am as method on method.oid = class.relam
        where index.indrelid = refreshed and method.amname = 'brin'
    loop
        perform pg_catalog.brin_summarize_new_values(block_range_index);
    end loop;
end $$;
comment on function ops.refresh_statistics is 'maintain: analyze, and the block-range indexes. For the maintainer alone.';

-- Tables that only grow: by default autovacuum waits for a fifth of the history to be dead or new.
alter table raw.log_event set (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);
alter table raw.reject set (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05
);
alter table ops.audit set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

revoke all on function
ops.begin_reload(bigint), ops.forget_topic(text), ops.prune_audit(int), ops.refresh_statistics(text)
from public;

-- 7. Grants ---------------------------------------------------------------------------------------

grant usage on schema raw, ops to loader, transformer;
grant select on all tables in schema raw, ops to transformer;
grant select on ops.schema_version to loader, auditor, maintainer;

grant usage on schema raw, ops to auditor;
grant select on raw.log_event, raw.reject, ops.load_file, ops.replay, ops.audit_latest to auditor;
grant select, insert on ops.audit, ops.audit_run to auditor;
grant usage on sequence ops.audit_run_id to auditor;

grant select, insert on raw.log_event, raw.reject to loader;
grant select, insert, update on raw.user_profile, raw.product to loader;
-- update: a quarantined file that was repaired is loaded under its row
grant select, insert, update on ops.load_file to loader;
-- a reject that a later parser takes moves to raw.log_event; one that it refuses for something else says so
grant delete, update (reason, field) on raw.reject to loader;
grant select, insert on ops.replay, ops.healed_reject to loader;
grant usage on sequence ops.load_file_load_id_seq to loader;
grant execute on function ops.begin_reload(bigint) to loader;

grant usage on schema ops to maintainer;
grant execute on function ops.prune_audit(int), ops.refresh_statistics(text) to maintainer;

reset role;

-- dbt checks the foreign keys of a run's rows by a join, and may then tell PostgreSQL not to check each by itself. It is
-- the owner of those tables, who could drop the keys; on others the right gives it nothing.
grant set on parameter session_replication_role to transformer;

-- Beside what is counted in real time: which event happened when, each once. A view of the log, read through its index on
-- event_time as long as a query asks for a range of event_at; not dbt's, which would take a lock on it with every run.
create or replace view marts.event_timeline as
select distinct on (event_id, event_time)
    event_id,
    event_time as event_at,
    event_type,
    coalesce(amount, attempted_amount, 0) as amount
from raw.log_event
order by event_id, event_time, load_id, kafka_partition, kafka_offset;
alter view marts.event_timeline owner to pipeline_owner;
comment on view marts.event_timeline is
'Grain: one row per event that is loaded, as soon as it is loaded. Ask for a range of event_at.';
comment on column marts.event_timeline.amount is
'purchase, order_complete: the amount; order_failed: the attempted amount; else 0.';

-- what the star has built, and its events
grant usage on schema intermediate, marts to auditor;
grant select on all tables in schema intermediate, marts to auditor;
alter default privileges for role transformer in schema intermediate grant select on tables to auditor;
alter default privileges for role transformer in schema marts grant select on tables to auditor;

grant usage on schema marts to bi_reader;
grant select on all tables in schema marts to bi_reader;
-- a table that dbt builds anew is readable from its first moment
alter default privileges for role transformer in schema marts grant select on tables to bi_reader;

commit;
