//! The marts are right to the cent, whichever way the events came; and reports read them while they are built.

#[path = "warehouse/calendar.rs"]
mod calendar;
#[path = "warehouse/dims.rs"]
mod dims;
#[path = "warehouse/orders.rs"]
mod orders;
#[path = "warehouse/sessions.rs"]
mod sessions;
#[path = "warehouse/shop.rs"]
mod shop;
#[path = "warehouse/tables.rs"]
mod tables;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use integration::{Stage, Task};
use postgres::error::SqlState;
use serde_json::Value;

use shop::{Product, Shop};
use tables::{DATES, TABLES, Table};

/// Microseconds since 1970.
fn now() -> anyhow::Result<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as i64)
}

/// Options of a run of `produce` that can be repeated.
fn repeatable<'a>(seed: &'a str, start: &'a str, count: &'a str) -> Vec<&'a str> {
    let mut options = vec!["--seed", seed, "--start", start, "--count", count];
    options.extend(["--duplicate-ratio", "0.05", "--late-ratio", "0.1"]);
    options.extend(["--malformed-ratio", "0.02"]);
    options
}

/// The records that such a run sends, from `--stdout`.
fn payloads(options: &[&str]) -> anyhow::Result<Vec<Vec<u8>>> {
    let printed = Task::new("produce")
        .args(options.iter().copied().chain(["--stdout"]))
        .run()?;
    ensure!(printed.code == Some(0), "{printed:?}");
    let bytes = printed.stdout_bytes.strip_suffix(b"\n").unwrap_or_default();
    Ok(bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect())
}

/// A JSON array of the catalog.
fn rows_of(file: &str) -> anyhow::Result<Vec<Value>> {
    let path = Path::new("../data").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// Users and products in files of their own: all, or all but every seventh. Gone when dropped.
struct Catalog {
    folder: PathBuf,
    users: Vec<Value>,
    products: Vec<Value>,
}

impl Catalog {
    fn new(stage: &Stage, complete: bool) -> anyhow::Result<Catalog> {
        let folder = std::env::temp_dir().join(format!("{}_{complete}", stage.topic));
        std::fs::create_dir_all(&folder)?;
        let part = |file: &str| -> anyhow::Result<Vec<Value>> {
            let rows = rows_of(file)?;
            let kept = rows.into_iter().enumerate();
            let kept = kept.filter(|(index, _)| complete || index % 7 != 0);
            Ok(kept.map(|(_, row)| row).collect())
        };
        let catalog = Catalog {
            users: part("users.json")?,
            products: part("products.json")?,
            folder,
        };
        std::fs::write(
            catalog.folder.join("users.json"),
            serde_json::to_vec(&catalog.users)?,
        )?;
        std::fs::write(
            catalog.folder.join("products.json"),
            serde_json::to_vec(&catalog.products)?,
        )?;
        Ok(catalog)
    }

    /// Loads it.
    fn task(&self, stage: &Stage) -> Task {
        let path = |file: &str| self.folder.join(file).display().to_string();
        stage
            .task("catalog")
            .args(["--users", &path("users.json")])
            .args(["--products", &path("products.json")])
    }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        // what is left behind in a folder for such things hurts nobody
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A field as PostgreSQL writes it.
fn text(row: &Value, field: &str) -> String {
    match &row[field] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(real) if !number.is_i64() => real.to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

const USER_COLUMNS: [&str; 10] = [
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
];

const PRODUCT_COLUMNS: [&str; 10] = [
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
];

/// The catalog as the next run of dbt finds it. Prices and stock that `catalog` changed by chance are known to the database
/// alone; all else must be what the file says.
fn products(stage: &Stage, catalog: &Catalog) -> anyhow::Result<Vec<Product>> {
    let columns = PRODUCT_COLUMNS.map(|column| format!("coalesce({column}::text, '-')"));
    let query = format!(
        "select product_id, array[{}], price, (extract(epoch from updated_at) * 1000000)::bigint
         from raw.product order by product_id",
        columns.join(", ")
    );
    let found = stage.sql()?.query(&query, &[])?;
    ensure!(found.len() == catalog.products.len(), "products");
    let mut products = Vec::new();
    for (row, told) in found.iter().zip(&catalog.products) {
        let product = Product {
            id: row.get(0),
            columns: row.get(1),
            price: row.get(2),
            since: row.get(3),
        };
        for (column, value) in PRODUCT_COLUMNS.iter().zip(&product.columns) {
            ensure!(
                matches!(*column, "price" | "stock") || *value == text(told, column),
                "{column} of {told}: {value}"
            );
        }
        products.push(product);
    }
    Ok(products)
}

/// Compares every row of every mart.
fn compare(stage: &Stage, shop: &Shop, when: &str) -> anyhow::Result<()> {
    let found = |table: &Table| -> anyhow::Result<Vec<String>> {
        let mut rows = stage.texts(&table.query())?;
        rows.sort();
        Ok(rows)
    };
    let equal = |table: &Table, expected: Vec<String>| -> anyhow::Result<()> {
        let found = found(table)?;
        let first_of = |left: &[String], right: &[String]| {
            let right: BTreeSet<&String> = right.iter().collect();
            let beside = left.iter().filter(|row| !right.contains(row));
            beside.take(3).cloned().collect::<Vec<String>>().join("\n")
        };
        ensure!(!expected.is_empty(), "{}: nothing to compare", table.name);
        ensure!(
            found == expected,
            "{when}: marts.{} has {} rows where {} are right\nnot right:\n{}\nmissing:\n{}",
            table.name,
            found.len(),
            expected.len(),
            first_of(&found, &expected),
            first_of(&expected, &found)
        );
        Ok(())
    };
    for table in &TABLES {
        equal(table, shop.rows(table.name)?)?;
    }
    let (this_year, _, _) = calendar::civil(now()?.div_euclid(calendar::DAY));
    let mut days = dims::dim_date(this_year + 2);
    days.sort();
    equal(&DATES, days)
}

/// The start of the newest raw file of each partition.
fn newest_starts(stage: &Stage, partitions: usize) -> anyhow::Result<Vec<String>> {
    let paths = stage.raw_files()?;
    let of = |partition: usize| -> anyhow::Result<String> {
        let folder = format!("/{partition:05}/");
        let starts = paths.iter().filter(|path| path.contains(&folder));
        let starts: Vec<u64> = starts
            .filter_map(|path| {
                path.rsplit('/')
                    .next()?
                    .strip_suffix(".parquet")?
                    .parse()
                    .ok()
            })
            .collect();
        ensure!(
            starts.len() > 1,
            "one file of partition {partition} is too few"
        );
        Ok(starts.iter().max().context("a file")?.to_string())
    };
    (0..partitions).map(of).collect()
}

/// The newest files first, then all that is older, then other days, new prices and orders after them.
#[test]
fn every_mart_is_right_to_the_cent_however_late_its_events_come() -> anyhow::Result<()> {
    let stage = Stage::new("warehouse", 2)?;
    let first = repeatable("42", "2026-10-01", "10000");
    let first_sent = payloads(&first)?;
    stage.task("produce").args(first).succeed()?;
    stage.task("archive").args(["--flush-mib", "1"]).succeed()?;
    let mut shop = Shop::default();
    let browse = |shop: &mut Shop, catalog: &Catalog| -> anyhow::Result<()> {
        shop.browse(products(&stage, catalog)?);
        for user in &catalog.users {
            let columns = USER_COLUMNS.map(|column| text(user, column));
            shop.users.insert(text(user, "user_id"), columns.into());
        }
        Ok(())
    };

    // sessions and orders without their beginning, products and users that nobody knows: what is there is built, and that
    // files are missing is said
    let part = Catalog::new(&stage, false)?;
    part.task(&stage).succeed()?;
    for (partition, start) in newest_starts(&stage, 2)?.iter().enumerate() {
        let partition = partition.to_string();
        let words = ["--partition", &partition, "--from-offset", start];
        let loaded = stage.task("load").args(words).succeed()?;
        ensure!(loaded["files"] == 1, "{loaded}");
    }
    let error = stage.dbt().run()?.fails_with(2)?;
    ensure!(error.contains("chain_has_no_gap"), "{error}");
    let kept = stage.number("select count(*) from test_failures.chain_has_no_gap")?;
    ensure!(kept == 2, "{kept} gaps are kept to be looked at");
    let loaded = stage.texts("select event_id from raw.log_event")?;
    let loaded: HashSet<String> = loaded.into_iter().collect();
    shop.receive(&first_sent, now()?, |id| loaded.contains(id))?;
    browse(&mut shop, &part)?;
    compare(&stage, &shop, "the newest files alone")?;

    // all that happened before them, which changes sessions, orders and days that are built
    let complete = Catalog::new(&stage, true)?;
    complete.task(&stage).succeed()?;
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    shop.receive(&first_sent, now()?, |_| true)?;
    browse(&mut shop, &complete)?;
    compare(&stage, &shop, "what came late")?;

    // weeks later, other prices; and orders that come after these prices
    let soon = stage.texts(
        "select to_char(now() at time zone 'UTC' + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    )?;
    for (seed, start, count) in [
        ("43", "2026-10-20", "2000"),
        ("44", "2026-10-01T06:00:00Z", "2000"),
        ("45", soon[0].as_str(), "1000"),
    ] {
        let options = repeatable(seed, start, count);
        let sent = payloads(&options)?;
        stage.task("produce").args(options).succeed()?;
        shop.receive(&sent, now()?, |_| true)?;
    }
    let changes = ["--change-ratio", "0.3", "--change-seed", "5"];
    let changed = complete.task(&stage).args(changes).succeed()?;
    ensure!(changed["products"]["changed"] == 3_000, "{changed}");
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    browse(&mut shop, &complete)?;
    compare(&stage, &shop, "other days and prices")?;
    let priced = "select count(*) from marts.fact_order_item where product_version_id like '%:2'";
    ensure!(stage.number(priced)? > 0, "no order came after a new price");

    // nothing new changes nothing; built anew, all is the same
    stage.dbt().succeed()?;
    compare(&stage, &shop, "a run without news")?;
    stage.dbt().args(["--full-refresh"]).succeed()?;
    compare(&stage, &shop, "built anew")?;

    for words in [
        &["test", "--select", "tag:history"][..],
        &["source", "freshness"],
        &["docs", "generate", "--static"],
    ] {
        let ended = stage.dbt_command(words).run()?;
        ensure!(ended.code == Some(0), "{words:?}: {ended:?}");
    }
    Ok(())
}

/// A run tests its rows before they go into a mart, and checks their foreign keys itself as well, in the place of PostgreSQL.
#[test]
fn a_fact_without_its_dimension_is_refused() -> anyhow::Result<()> {
    let stage = Stage::new("nowhere", 1)?;
    let more = |seed: &str| -> anyhow::Result<()> {
        let options = repeatable(seed, "2026-10-01", "1000");
        stage.task("produce").args(options).succeed()?;
        stage.task("archive").succeed()?;
        stage.task("load").succeed()?;
        Ok(())
    };
    more("61")?;
    stage.dbt().succeed()?;
    let facts =
        "select (select count(*) from marts.fact_event) + (select count(*) from marts.fact_order)";
    let before = stage.number(facts)?;

    // what no fault of ours does so far: users who are new get lost on their way into dim_user
    stage.sql()?.batch_execute(
        "create function marts.lose() returns trigger language plpgsql as 'begin return null; end';
         create trigger lose before insert on marts.dim_user for each row execute function marts.lose()",
    )?;
    more("62")?;
    let error = stage.dbt().run()?.fails_with(2)?;
    ensure!(
        error.contains("relationships_int_new_event_user_id"),
        "{error}"
    );
    ensure!(stage.number(facts)? == before, "part of the run is there");

    // somebody builds without the tests
    let untested = stage.dbt_command(&["run"]).run()?;
    ensure!(untested.code == Some(1), "{untested:?}");
    let said = format!("{} {}", untested.stdout, untested.stderr);
    ensure!(
        said.contains("marts\".\"fact_event\": user_id") && said.contains("is not in"),
        "{said}"
    );
    ensure!(stage.number(facts)? == before, "part of the run is there");

    stage
        .sql()?
        .batch_execute("drop function marts.lose() cascade")?;
    stage.dbt().succeed()?;
    ensure!(stage.number(facts)? > before, "the run was not made good");
    // the keys are as they were for everybody else
    let stray = "insert into marts.fact_event select event_id || '-stray', 'nobody', product_id, date_sk, event_type, session_id,
                 device_type, geo_country, geo_city from marts.fact_event limit 1";
    let refused = stage.sql()?.batch_execute(stray);
    let code = refused.err().and_then(|failure| failure.code().cloned());
    ensure!(code == Some(SqlState::FOREIGN_KEY_VIOLATION), "{code:?}");
    Ok(())
}

/// A report that has every mart open, and others that begin meanwhile, beside runs of dbt.
#[test]
fn reports_and_runs_of_dbt_do_not_wait_for_each_other() -> anyhow::Result<()> {
    let stage = Stage::new("reports", 1)?;
    let more = |seed: &str, start: &str| -> anyhow::Result<()> {
        stage
            .task("produce")
            .args(repeatable(seed, start, "2000"))
            .succeed()?;
        stage.task("archive").succeed()?;
        stage.task("load").succeed()?;
        Ok(())
    };
    more("51", "2026-10-01")?;
    stage.dbt().succeed()?;
    more("52", "2026-10-01T06:00:00Z")?;
    let tables: Vec<&str> = TABLES
        .iter()
        .chain([&DATES])
        .map(|table| table.name)
        .collect();
    let counts: Vec<String> = tables
        .iter()
        .map(|table| format!("(select count(*) from marts.{table})"))
        .collect();
    let all = format!("select {}", counts.join(" + "));
    let before = stage.number(&all)?;

    // begun before dbt and still open after it: a page of a report that is read row by row
    let mut report = stage.sql()?;
    report.batch_execute("begin isolation level repeatable read; set local role bi_reader")?;
    ensure!(report.query_one(&all, &[])?.get::<_, i64>(0) == before);
    report.batch_execute("declare page scroll cursor for select event_id from marts.fact_event")?;
    let report_id: i32 = report.query_one("select pg_backend_pid()", &[])?.get(0);

    let mut other = stage.sql()?;
    other.batch_execute("set role bi_reader; set lock_timeout = '1s'")?;
    let mut watch = stage.sql()?;
    for options in [&[][..], &["--full-refresh"]] {
        let mut dbt = stage.dbt().args(options.iter().copied()).start()?;
        let mut read = 0;
        while dbt.is_running()? {
            let row = report.query("fetch 1 from page", &[])?;
            if row.is_empty() {
                // read to its end: once more, in the same picture
                report.batch_execute("move absolute 0 in page")?;
            }
            // fails when it waits for a second
            other.query_one(&all, &[]).context("a report beside dbt")?;
            let waiting = "select count(*) from pg_stat_activity
                           where datname = current_database() and $1 = any(pg_blocking_pids(pid))";
            let waiting: i64 = watch.query_one(waiting, &[&report_id])?.get(0);
            ensure!(waiting == 0, "dbt waits for a report");
            read += 1;
        }
        let ended = dbt.finish()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        ensure!(
            read > 10,
            "{read} reports while dbt ran are too few to say anything"
        );
    }
    // one picture from its beginning to its end
    ensure!(report.query_one(&all, &[])?.get::<_, i64>(0) == before);
    report.batch_execute("commit")?;
    ensure!(stage.number(&all)? > before, "dbt added nothing");

    // the watch would have noticed: a lock that readers have to wait for fails them
    report.batch_execute("begin; lock table marts.fact_order in access exclusive mode")?;
    ensure!(
        other.query_one(&all, &[]).is_err(),
        "a report got past a lock"
    );
    report.batch_execute("rollback")?;
    Ok(())
}

/// Every mart that dbt sums up or puts together.
fn digests(stage: &Stage) -> anyhow::Result<Vec<(String, String)>> {
    let table = |table: &Table| -> anyhow::Result<(String, String)> {
        let name = format!("marts.{}", table.name);
        let digest = stage.digest(&name)?;
        Ok((name, digest))
    };
    TABLES.iter().map(table).collect()
}

fn assert_sums_are_those_of_the_facts(stage: &Stage, when: &str) -> anyhow::Result<()> {
    let tested = stage
        .dbt_command(&["test", "--select", "tag:history"])
        .run()?;
    ensure!(tested.code == Some(0), "{when}: {tested:?}");
    Ok(())
}

/// A run that is killed between a fact and what is summed up from it has written the first and not the second, as runs
/// do here that leave the second out.
#[test]
fn sums_that_are_kept_up_miss_nothing_of_runs_that_were_cut_short() -> anyhow::Result<()> {
    let stage = Stage::new("sums", 2)?;
    // each time all that came before once more, and then what comes after it in the same sessions
    let mut count = 0;
    let mut more = || -> anyhow::Result<()> {
        count += 2_000;
        let words = count.to_string();
        let options = repeatable("71", "2026-10-01T23:50:00Z", &words);
        stage.task("produce").args(options).succeed()?;
        stage.task("archive").succeed()?;
        stage.task("load").succeed()?;
        Ok(())
    };
    let cut_short = |options: &[&str]| -> anyhow::Result<()> {
        let mut words = vec!["run", "--exclude", "funnel", "product_performance"];
        words.extend(["int_customer_day+", "int_built_load"]);
        words.extend(options);
        let ended = stage.dbt_command(&words).run()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        Ok(())
    };
    more()?;
    stage.dbt().succeed()?;
    let sessions = "select sum(sessions) from marts.funnel";
    let sessions_before = stage.number(sessions)?;

    // cut short, and then with news; the sums are as they were
    more()?;
    cut_short(&[])?;
    let noted = "select count(*) from intermediate.int_session_change where not anew";
    ensure!(stage.number(noted)? > 0, "nothing is noted");
    ensure!(stage.number(sessions)? == sessions_before, "not cut short");
    more()?;
    stage.dbt().succeed()?;
    ensure!(stage.number(sessions)? > sessions_before, "nothing came");
    ensure!(stage.number(noted)? == 0, "notes are left");
    assert_sums_are_those_of_the_facts(&stage, "cut short")?;
    let whole = digests(&stage)?;

    // what is not kept up is found
    let by_one = |sign: &str| {
        let change = format!("update marts.product_performance set searches = searches {sign} 1");
        stage
            .sql()?
            .batch_execute(&change)
            .map_err(anyhow::Error::from)
    };
    by_one("+")?;
    let recount = ["test", "--select", "sums_are_those_of_the_facts"];
    let tested = stage.dbt_command(&recount).run()?;
    ensure!(tested.code == Some(1), "{tested:?}");
    by_one("-")?;

    // a full refresh that is cut short: the next run goes on from the facts as they are then
    cut_short(&["--full-refresh"])?;
    stage.dbt().succeed()?;
    assert_sums_are_those_of_the_facts(&stage, "a full refresh, cut short")?;
    ensure!(
        digests(&stage)? == whole,
        "a full refresh gives other marts"
    );

    // tables of a release that kept no notes, facts that are made anew, and sums that are wrong, which the test finds
    stage.sql()?.batch_execute(
        "drop table intermediate.int_session_change, intermediate.int_order_change;
         drop table marts.fact_event, marts.fact_order_item;
         update marts.funnel set sessions = sessions + 1;
         update intermediate.int_customer_day set orders = orders + 1;
         update marts.product_performance set searches = searches + 1",
    )?;
    stage.dbt().succeed()?;
    assert_sums_are_those_of_the_facts(&stage, "without notes")?;
    ensure!(digests(&stage)? == whole, "facts made anew are others");
    Ok(())
}

/// An order that was completed twice keeps the lines of its latest completion, whatever comes later in its session.
#[test]
fn lines_of_an_order_stay_when_its_session_goes_on() -> anyhow::Result<()> {
    let stage = Stage::new("lines", 1)?;
    let event = |id: &str, second: u32, kind: &str, details: &str| {
        format!(
            r#"{{"timestamp":"2026-10-01T10:00:{second:02}Z","level":"INFO","service":"ecommerce-platform","event_type":"{kind}","event_id":"{id}",
                "user_id":"user_1","session_id":"s1","product_id":"prod_1","session_duration":{second},"device_type":"mobile",
                "geo_location":{{"country":"DE","city":"Bonn"}},"details":{details}}}"#
        )
    };
    let completion = |id: &str, second: u32, amount: u32, items: &str| {
        let details = format!(
            r#"{{"order_id":"o1","amount":{amount},"items":[{items}],"shipping_method":"standard",
                "delivery_estimate":"2026-10-05","completed_at":"2026-10-01T10:00:{second:02}Z"}}"#
        );
        event(id, second, "order_complete", &details)
    };
    let search =
        r#"{"query":"lamp","results_count":1,"filters":{},"searched_at":"2026-10-01T10:00:30Z"}"#;
    let two = r#"{"product_id":"prod_1","quantity":1},{"product_id":"prod_2","quantity":1}"#;
    let one = r#"{"product_id":"prod_2","quantity":1}"#;
    let built = |events: &[String]| -> anyhow::Result<()> {
        let payloads: Vec<Option<&[u8]>> =
            events.iter().map(|sent| Some(sent.as_bytes())).collect();
        stage.kafka.send(&stage.topic, 0, &payloads)?;
        stage.task("archive").succeed()?;
        stage.task("load").succeed()?;
        let rejects = stage.number("select count(*) from raw.reject")?;
        ensure!(rejects == 0, "rejected: {events:?}");
        stage.dbt().succeed()?;
        let lines = stage.number("select count(*) from marts.fact_order_item")?;
        ensure!(lines == 1, "{lines} lines after {events:?}");
        Ok(())
    };
    built(&[completion("a", 10, 4, two), completion("b", 20, 3, one)])?;
    built(&[event("c", 30, "search", search)])?;
    assert_sums_are_those_of_the_facts(&stage, "a session that goes on")?;
    let sold = "select count(*) from marts.product_performance where orders = 1 and revenue = 3.00";
    ensure!(stage.number(sold)? == 1, "sold to somebody else");
    Ok(())
}
