//! The dashboards of Grafana: every file is whole, every query runs on the server it is for, and
//! what the panels of the shop show is what was sent, counted here once more from the lines of
//! `produce --stdout`. How Grafana draws it is not tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use integration::{Cassandra, Stage, password, setting, wait_until, wait_within};
use postgres::{Client, NoTls, SimpleQueryMessage};
use serde_json::Value;

/// A stream that writes four rows at a time, on a machine that is busy.
const SLOW_ON_PURPOSE: Duration = Duration::from_secs(600);

/// Names that the tasks use, without the suffixes of histograms.
const METRICS: [&str; 25] = [
    "pipeline_records_total",
    "pipeline_rows_total",
    "pipeline_rejects_total",
    "pipeline_duplicates_total",
    "pipeline_files_total",
    "pipeline_retries_total",
    "pipeline_lag_records",
    "pipeline_lag_seconds",
    "pipeline_write_duration_seconds",
    "pipeline_batch_records",
    "pipeline_event_delay_seconds",
    "pipeline_record_delay_seconds",
    "pipeline_paused_partitions",
    "pipeline_buffered_bytes",
    "pipeline_warehouse_files",
    "pipeline_warehouse_rows",
    "pipeline_audit_records",
    "pipeline_audit_pending_files",
    "pipeline_audit_differences",
    "pipeline_audit_last_clean_timestamp_seconds",
    "pipeline_run_duration_seconds",
    "pipeline_run_exit_code",
    "pipeline_last_success_timestamp_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
];

/// What a query asks, and whom.
struct Target {
    panel: String,
    kind: String,
    source: String,
    text: String,
}

/// The time range and the variable of a dashboard.
struct View {
    from: i64,
    to: i64,
    user: String,
}

fn dashboards() -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("../grafana/dashboards")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        found.push(serde_json::from_str(&text).with_context(|| path.display().to_string())?);
    }
    ensure!(found.len() == 3, "{} dashboards", found.len());
    Ok(found)
}

fn list<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a Vec<Value>> {
    value[field]
        .as_array()
        .with_context(|| format!("no {field}"))
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("no {field} in {value}"))
}

fn targets(dashboard: &Value) -> anyhow::Result<Vec<Target>> {
    let mut found = Vec::new();
    for panel in list(dashboard, "panels")? {
        if panel["type"] == "row" {
            continue;
        }
        for target in list(panel, "targets")? {
            let source = text(&target["datasource"], "uid")?.to_owned();
            let field = match source.as_str() {
                "cassandra" => "target",
                "prometheus" => "expr",
                "postgresql" => "rawSql",
                other => bail!("nobody knows the data source {other}"),
            };
            found.push(Target {
                panel: text(panel, "title")?.to_owned(),
                kind: text(panel, "type")?.to_owned(),
                text: text(target, field)?.to_owned(),
                source,
            });
        }
    }
    Ok(found)
}

/// The queries of a panel, in order.
fn of_panel<'a>(found: &'a [Target], panel: &str, source: &str) -> anyhow::Result<Vec<&'a Target>> {
    let wanted: Vec<&Target> = found
        .iter()
        .filter(|target| target.panel == panel && target.source == source)
        .collect();
    ensure!(!wanted.is_empty(), "no panel {panel} from {source}");
    Ok(wanted)
}

/// The query as the server gets it. Grafana and its plugins put in the same.
fn expand(target: &Target, view: &View) -> anyhow::Result<String> {
    let quoted = format!("'{}'", view.user.replace('\'', "''"));
    let mut query = target.text.replace("${user:sqlstring}", &quoted);
    query = match target.source.as_str() {
        // the data source's keyspace
        "cassandra" => query
            .replace(" FROM ", " FROM logs.")
            .replace("$__timeFrom", &view.from.to_string())
            .replace("$__timeTo", &view.to.to_string()),
        "postgresql" => {
            let time = |millis: i64| format!("to_timestamp({millis} / 1000.0)");
            query
                .replace("$__timeFrom()", &time(view.from))
                .replace("$__timeTo()", &time(view.to))
        }
        _ => query
            .replace("$__rate_interval", "20s")
            .replace("$__interval", "15s"),
    };
    ensure!(!query.contains('$'), "{}: {query}", target.panel);
    Ok(query)
}

// ---- the files -----------------------------------------------------------------------------------

#[test]
fn dashboards_are_whole() -> anyhow::Result<()> {
    let mut uids = BTreeSet::new();
    for dashboard in dashboards()? {
        let title = text(&dashboard, "title")?;
        ensure!(
            uids.insert(text(&dashboard, "uid")?.to_owned()),
            "{title}: its uid is taken"
        );
        ensure!(!text(&dashboard, "description")?.is_empty(), "{title}");
        ensure!(
            matches!(text(&dashboard, "refresh")?, "5s" | "10s" | "1m"),
            "{title}"
        );
        ensure!(
            dashboard["id"].is_null() && dashboard["schemaVersion"].is_u64(),
            "{title}"
        );
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard, "panels")? {
            let name = format!("{title}: {}", text(panel, "title")?);
            ensure!(
                ids.insert(panel["id"].as_u64().context("no id")?),
                "{name}: its id is taken"
            );
            occupy(&mut taken, &panel["gridPos"]).context(name.clone())?;
            if panel["type"] == "row" {
                continue;
            }
            ensure!(
                text(panel, "description")?.len() > 20,
                "{name}: no description"
            );
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            // a table of texts has no unit
            ensure!(
                unit.is_string() || panel["type"] == "table",
                "{name}: no unit"
            );
        }
        variables_are_known(&dashboard).context(title.to_owned())?;
    }
    Ok(())
}

/// Takes the places of a panel on a grid of 24 columns; fails if one is taken.
fn occupy(taken: &mut BTreeSet<(u64, u64)>, place: &Value) -> anyhow::Result<()> {
    let at = |field: &str| place[field].as_u64().context("no gridPos");
    let (x, y, width, height) = (at("x")?, at("y")?, at("w")?, at("h")?);
    ensure!(
        width > 0 && height > 0 && x + width <= 24,
        "wider than the grid"
    );
    for column in x..x + width {
        for line in y..y + height {
            ensure!(taken.insert((column, line)), "covers another panel");
        }
    }
    Ok(())
}

fn variables_are_known(dashboard: &Value) -> anyhow::Result<()> {
    let mut known = BTreeSet::new();
    for variable in list(&dashboard["templating"], "list")? {
        known.insert(text(variable, "name")?.to_owned());
    }
    let mut said: Vec<String> = targets(dashboard)?
        .into_iter()
        .map(|target| target.text)
        .collect();
    for panel in list(dashboard, "panels")? {
        said.push(text(panel, "title")?.to_owned());
    }
    for piece in said.iter().flat_map(|text| text.split('$').skip(1)) {
        let name: String = piece
            .trim_start_matches('{')
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        let of_grafana = ["__timeFrom", "__timeTo", "__rate_interval", "__interval"];
        ensure!(
            known.contains(&name) || of_grafana.contains(&name.as_str()),
            "${name} is no variable"
        );
    }
    Ok(())
}

#[test]
fn data_sources_are_the_provisioned_ones() -> anyhow::Result<()> {
    let file = fs::read_to_string("../grafana/provisioning/datasources/datasources.yaml")?;
    let provisioned: BTreeSet<&str> = file
        .lines()
        .filter_map(|line| line.trim().strip_prefix("uid: "))
        .collect();
    for dashboard in dashboards()? {
        for target in targets(&dashboard)? {
            ensure!(
                provisioned.contains(target.source.as_str()),
                "{}",
                target.source
            );
        }
        for panel in list(&dashboard, "panels")? {
            let uid = panel["datasource"]["uid"].as_str().unwrap_or("row");
            ensure!(
                provisioned.contains(uid) || ["-- Mixed --", "row"].contains(&uid),
                "{uid}"
            );
        }
    }
    Ok(())
}

/// What the plugin for Cassandra asks for, which it would say only when a panel is looked at.
#[test]
fn queries_are_as_the_cassandra_plugin_wants_them() -> anyhow::Result<()> {
    for dashboard in dashboards()? {
        for panel in list(&dashboard, "panels")? {
            for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
                if target["datasource"]["uid"] != "cassandra" {
                    continue;
                }
                let query = text(target, "target")?;
                ensure!(
                    target["rawQuery"] == true && target["queryType"] == "query",
                    "{query}"
                );
                ensure!(
                    query.starts_with("SELECT ") && !query.contains("ORDER BY"),
                    "{query}"
                );
                ensure!(
                    !query.contains("$__timeFrom(") && !query.contains("$__timeTo("),
                    "{query}"
                );
                ensure!(
                    query.contains("$__timeFrom") && query.contains("$__timeTo"),
                    "{query}"
                );
                // the keyspace is the data source's
                ensure!(!query.contains("logs."), "{query}");
            }
        }
    }
    Ok(())
}

#[test]
fn metrics_are_those_of_the_tasks() -> anyhow::Result<()> {
    let mut queries: Vec<String> = vec![fs::read_to_string("../prometheus/alerts.yml")?];
    for dashboard in dashboards()? {
        let found = targets(&dashboard)?
            .into_iter()
            .filter(|target| target.source == "prometheus");
        queries.extend(found.map(|target| target.text));
    }
    let known = BTreeSet::from(METRICS);
    let words = |query: &str| -> Vec<String> {
        let ends = |letter: char| !(letter.is_alphanumeric() || letter == '_');
        query.split(ends).map(str::to_owned).collect()
    };
    for word in queries.iter().flat_map(|query| words(query)) {
        if word.starts_with("pipeline_") || word.starts_with("process_") {
            let name = word.strip_suffix("_bucket").unwrap_or(&word);
            ensure!(known.contains(name), "{name} is no metric of a task");
        }
    }
    Ok(())
}

// ---- the servers ---------------------------------------------------------------------------------

#[test]
fn prometheus_understands_every_query() -> anyhow::Result<()> {
    let url = setting("PROMETHEUS_URL", "http://prometheus:9090");
    let view = View {
        from: 0,
        to: 0,
        user: String::new(),
    };
    wait_until("Prometheus answers", || {
        Ok(ureq::get(format!("{url}/-/ready")).call().is_ok())
    })?;
    for dashboard in dashboards()? {
        for target in targets(&dashboard)?
            .iter()
            .filter(|target| target.source == "prometheus")
        {
            let query = expand(target, &view)?;
            let said = ureq::get(format!("{url}/api/v1/query"))
                .query("query", &query)
                .call()
                .with_context(|| format!("{}: {query}", target.panel))?
                .body_mut()
                .read_to_string()?;
            let answer: Value = serde_json::from_str(&said)?;
            ensure!(answer["status"] == "success", "{query}: {answer}");
        }
    }
    Ok(())
}

/// Count and amount by member.
type Totals = BTreeMap<String, (i64, f64)>;

/// What the lines of `produce --stdout` say, each event counted once.
#[derive(Default)]
struct Sent {
    ids: BTreeSet<String>,
    events: Totals,
    product: Totals,
    country: Totals,
    device: Totals,
    error_code: Totals,
    user: Totals,
    newest_error: (String, String),
}

impl Sent {
    fn count(lines: &str) -> anyhow::Result<Sent> {
        let mut sent = Sent::default();
        for line in lines.lines() {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if sent.ids.insert(text(&event, "event_id")?.to_owned()) {
                sent.add(&event)?;
            }
        }
        Ok(sent)
    }

    fn add(&mut self, event: &Value) -> anyhow::Result<()> {
        let kind = text(event, "event_type")?;
        let details = &event["details"];
        let amount = details["amount"]
            .as_f64()
            .or(details["attempted_amount"].as_f64());
        let amount = amount.unwrap_or_default();
        let completed = if kind == "order_complete" {
            amount
        } else {
            0.0
        };
        let add = |totals: &mut Totals, member: &str, amount: f64| {
            let total = totals.entry(member.to_owned()).or_default();
            total.0 += 1;
            total.1 += amount;
        };
        add(&mut self.events, kind, amount);
        add(
            &mut self.country,
            text(&event["geo_location"], "country")?,
            completed,
        );
        add(&mut self.device, text(event, "device_type")?, completed);
        add(&mut self.user, text(event, "user_id")?, 0.0);
        if kind == "order_complete" {
            add(&mut self.product, text(event, "product_id")?, amount);
        }
        if kind == "error" {
            add(&mut self.error_code, text(event, "error_code")?, 0.0);
            let at = (
                text(event, "timestamp")?.to_owned(),
                text(event, "event_id")?.to_owned(),
            );
            self.newest_error = self.newest_error.clone().max(at);
        }
        Ok(())
    }

    fn of_type(&self, kind: &str) -> (i64, f64) {
        self.events.get(kind).copied().unwrap_or_default()
    }
}

/// The answers of a panel's queries, summed by the text in one column; without an amount it is 0.
fn summed(
    rows: &[Vec<Value>],
    member: usize,
    count: usize,
    amount: Option<usize>,
) -> anyhow::Result<Totals> {
    let mut totals = Totals::new();
    for row in rows {
        let name = row[member]
            .as_str()
            .with_context(|| format!("no text: {row:?}"))?;
        let total = totals.entry(name.to_owned()).or_default();
        total.0 += row[count]
            .as_i64()
            .with_context(|| format!("no count: {row:?}"))?;
        if let Some(amount) = amount {
            total.1 += row[amount]
                .as_f64()
                .with_context(|| format!("no amount: {row:?}"))?;
        }
    }
    Ok(totals)
}

fn same(what: &str, shown: &Totals, sent: &Totals, amounts: bool) -> anyhow::Result<()> {
    let equal = shown.len() == sent.len()
        && shown.iter().zip(sent).all(|(shown, sent)| {
            let near = !amounts || (shown.1.1 - sent.1.1).abs() < 0.005;
            shown.0 == sent.0 && shown.1.0 == sent.1.0 && near
        });
    ensure!(
        equal,
        "{what}: the panel shows {shown:?}, sent was {sent:?}"
    );
    Ok(())
}

const EVENTS: usize = 40_000;

/// Sends events while `stream` is killed without a word, twice, in the middle of them; then lets it
/// catch up.
fn send_and_kill(stage: &Stage, options: &[&str]) -> anyhow::Result<()> {
    let producer = stage
        .task("produce")
        .args(options.iter().copied())
        .args(["--rate", "8000"])
        .start()?;
    for share in [1, 3] {
        // slow enough to be caught on the way
        let stream = stage
            .task("stream")
            .args(["--follow", "--batch-rows", "4", "--concurrency", "1"])
            .start()?;
        wait_within(SLOW_ON_PURPOSE, "the stream is in the middle", || {
            Ok(stage.committed()? > share * EVENTS as i64 / 8)
        })?;
        stream.signal("KILL")?;
        let killed = stream.finish()?;
        ensure!(killed.code.is_none(), "it ended by itself: {killed:?}");
        let written = stage.committed()?;
        ensure!(written < EVENTS as i64, "it was killed too late: {written}");
    }
    let sent = producer.finish()?;
    ensure!(sent.code == Some(0), "{sent:?}");
    Ok(())
}

/// Events of the last three hours in Kafka and, after two kills on the way, in Cassandra; and what
/// was sent.
fn shop(name: &str) -> anyhow::Result<(Stage, Cassandra, Sent, View)> {
    let stage = Stage::new(name, 3)?;
    let cassandra = stage.cassandra()?;
    let hour =
        "to_char(now() at time zone 'utc' - interval '3 hours', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"')";
    let start = stage.texts(&format!("select {hour}"))?.remove(0);
    let begin = stage.number(&format!(
        "select extract(epoch from timestamptz '{start}')::bigint"
    ))?;
    let count = EVENTS.to_string();
    let options = [
        "--count",
        &count,
        "--seed",
        "41",
        "--duplicate-ratio",
        "0.02",
        "--start",
        &start,
        // 115 minutes
        "--history-days",
        "0.08",
    ];
    let lines = stage
        .task("produce")
        .args(options)
        .args(["--stdout"])
        .run()?;
    let sent = Sent::count(&lines.stdout)?;
    ensure!(sent.ids.len() == EVENTS, "{} events", sent.ids.len());
    ensure!(
        lines.stdout.lines().count() > EVENTS,
        "no duplicates were sent"
    );
    send_and_kill(&stage, &options)?;
    stage
        .kafka
        .send(&stage.topic, 0, &[Some(b"{}"), Some(b"no JSON")])?;
    stage.task("stream").succeed()?;
    let (from, to) = ((begin - 600) * 1000, (begin + 5 * 3600) * 1000);
    let user = sent.user.keys().next().context("no user")?.clone();
    Ok((stage, cassandra, sent, View { from, to, user }))
}

#[test]
fn live_shop_shows_what_was_sent() -> anyhow::Result<()> {
    // the stage is dropped last, and with it everything
    let (_stage, cassandra, sent, view) = shop("live")?;
    let all = dashboards()?;
    let live = all
        .iter()
        .find(|found| found["uid"] == "live-shop")
        .context("no Live shop")?;
    let found = targets(live)?;

    // every query of the dashboard, as the plugin would read the answer
    let mut answers: BTreeMap<String, Vec<Vec<Value>>> = BTreeMap::new();
    for target in &found {
        let query = expand(target, &view)?;
        let rows = cassandra
            .rows(&query)
            .with_context(|| format!("{}: {query}", target.panel))?;
        ensure!(!rows.is_empty(), "{}: no rows: {query}", target.panel);
        for row in &rows {
            ensure!(row[0].is_string(), "{}: no series: {row:?}", target.panel);
            // a table shows an empty cell; a number that is none would be drawn as 0
            let empty = row.iter().any(Value::is_null);
            ensure!(
                target.kind == "table" || !empty,
                "{}: {row:?}",
                target.panel
            );
        }
        answers
            .entry(target.panel.clone())
            .or_default()
            .extend(rows);
    }
    let rows = |panel: &str| {
        answers
            .get(panel)
            .with_context(|| format!("no panel {panel}"))
    };

    same(
        "by type",
        &summed(rows("Events per minute")?, 0, 1, None)?,
        &sent.events,
        false,
    )?;
    let total = |panel: &str| -> anyhow::Result<f64> {
        Ok(rows(panel)?.iter().filter_map(|row| row[1].as_f64()).sum())
    };
    ensure!(total("Events")? == EVENTS as f64, "{}", total("Events")?);
    let (completed, revenue) = sent.of_type("order_complete");
    for panel in ["Revenue", "Revenue per minute"] {
        ensure!(
            (total(panel)? - revenue).abs() < 0.005,
            "{panel}: {} {revenue}",
            total(panel)?
        );
    }
    ensure!(
        total("Completed orders")? == completed as f64,
        "{completed}"
    );
    let (failed, errors) = (sent.of_type("order_failed").0, sent.of_type("error").0);
    ensure!(total("Failed orders")? == failed as f64, "{failed}");
    ensure!(total("Errors")? == errors as f64, "{errors}");
    ensure!(total("Failed orders and errors per minute")? == (failed + errors) as f64);
    same(
        "products",
        &summed(rows("Top products")?, 1, 2, Some(3))?,
        &sent.product,
        true,
    )?;
    same(
        "countries",
        &summed(rows("Countries")?, 1, 2, Some(3))?,
        &sent.country,
        true,
    )?;
    same(
        "devices",
        &summed(rows("Devices")?, 1, 2, None)?,
        &sent.device,
        false,
    )?;
    same(
        "codes",
        &summed(rows("Top error codes")?, 1, 2, None)?,
        &sent.error_code,
        false,
    )?;
    ensure!(total("Rejects")? == 2.0 && total("Rejects per minute")? == 2.0);
    ensure!(
        rows("Recent rejects")?.len() == 2,
        "{:?}",
        rows("Recent rejects")?
    );

    let recent = rows("Recent errors")?;
    ensure!(
        recent.len() as i64 >= errors.min(50),
        "{} of {errors} errors",
        recent.len()
    );
    let newest = Value::from(sent.newest_error.1.clone());
    ensure!(
        recent.iter().any(|row| row.contains(&newest)),
        "{newest} is not among the newest"
    );
    let (of_user, _) = sent.user[&view.user];
    ensure!(
        rows("Events of $user")?.len() as i64 == of_user,
        "{} has {of_user}",
        view.user
    );

    // a quote in the field is a user nobody has, not another query
    let view = View {
        user: "' OR user_id = 'user_1".to_owned(),
        ..view
    };
    let look_up = of_panel(&found, "Events of $user", "cassandra")?;
    ensure!(cassandra.rows(&expand(look_up[0], &view)?)?.is_empty());
    Ok(())
}

/// The panels that compare: for every closed window both sides say the same.
#[test]
fn two_clocks_agree() -> anyhow::Result<()> {
    let (stage, cassandra, sent, view) = shop("clocks")?;
    for task in ["archive", "load"] {
        stage.task(task).succeed()?;
    }
    stage.dbt().succeed()?;
    let mut reader = reader(&stage)?;
    let all = dashboards()?;
    let clocks = all
        .iter()
        .find(|found| found["uid"] == "two-clocks")
        .context("no Two clocks")?;
    let found = targets(clocks)?;
    for target in &found {
        let query = expand(target, &view)?;
        let said = || format!("{}: {query}", target.panel);
        match target.source.as_str() {
            "cassandra" => ensure!(
                !cassandra.rows(&query).with_context(said)?.is_empty(),
                said()
            ),
            _ => ensure!(
                !sql_rows(&mut reader, &query).with_context(said)?.is_empty(),
                said()
            ),
        }
    }
    for (panel, amounts) in [
        ("Events by closed window", false),
        ("Revenue by closed window", true),
    ] {
        let mut stream = BTreeMap::new();
        for target in of_panel(&found, panel, "cassandra")? {
            for row in cassandra.rows(&expand(target, &view)?)? {
                let kind = row[0].as_str().context("no type")?.to_owned();
                // times as milliseconds
                let start = row[2]
                    .as_i64()
                    .with_context(|| format!("no time: {row:?}"))?;
                stream.insert((kind, start), row[1].as_f64().context("no number")?);
            }
        }
        let mut closed = 0.0;
        let batch = &of_panel(&found, panel, "postgresql")?[0];
        let millis =
            "select event_type, (extract(epoch from window_start) * 1000)::bigint, postgresql";
        let query = format!("{millis} from ({}) as shown", expand(batch, &view)?);
        for row in sql_rows(&mut reader, &query)? {
            let (start, number) = (row[1].parse::<i64>()?, row[2].parse::<f64>()?);
            let other = stream.remove(&(row[0].clone(), start)).unwrap_or_default();
            ensure!(
                (other - number).abs() < 0.005,
                "{panel}: {row:?}, Cassandra: {other}"
            );
            closed += number;
        }
        // what is left is the window that is still open
        let open: f64 = stream.values().sum();
        let (count, revenue) = (sent.ids.len() as f64, sent.of_type("order_complete").1);
        let whole = if amounts { revenue } else { count };
        ensure!(
            (closed + open - whole).abs() < 0.005,
            "{panel}: {closed} + {open}, sent {whole}"
        );
        ensure!(
            closed > whole / 2.0,
            "{panel}: only {closed} of {whole} in closed windows"
        );
    }
    Ok(())
}

/// A session of the role that Grafana has.
fn reader(stage: &Stage) -> anyhow::Result<Client> {
    let place = setting("POSTGRES_PLACE", "postgres:5432");
    let mut config: postgres::Config =
        format!("postgresql://bi_reader@{place}/{}", stage.database).parse()?;
    config.password(password("BI_READER_PASSWORD"));
    Ok(config.connect(NoTls)?)
}

fn sql_rows(client: &mut Client, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for message in client.simple_query(query)? {
        if let SimpleQueryMessage::Row(row) = message {
            let cells = (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned());
            rows.push(cells.collect());
        }
    }
    Ok(rows)
}
