//! The pages of dbt, made of a warehouse that was really built, as a browser shows them that reaches nobody but
//! their server.

use anyhow::{Context, ensure};
use integration::{Server, Stage, docker, open_in_a_browser, wait_until};

/// A container that is gone when this is dropped, however the test ends.
struct Served(String);

impl Drop for Served {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["rm", "--force", &self.0]) {
            eprintln!("{} is left behind: {failure:#}", self.0);
        }
    }
}

/// The elements of the page without its scripts, which hold all of the text too.
fn without_scripts(dom: &str) -> anyhow::Result<String> {
    let mut rest = dom;
    let mut kept = String::new();
    while let Some((before, script)) = rest.split_once("<script") {
        kept.push_str(before);
        let (_, after) = script
            .split_once("</script>")
            .context("a script without an end")?;
        rest = after;
    }
    kept.push_str(rest);
    Ok(kept)
}

#[test]
fn pages_of_dbt_show_every_model_and_ask_nobody() -> anyhow::Result<()> {
    let stage = Stage::new("docs", 1)?;
    let options = ["--count", "2000", "--seed", "91", "--start", "2026-10-01"];
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;

    let served = Served(format!("{}_pages", stage.database));
    let mut pages = stage.dbt_docs_in(&served.0).start()?;
    let address = format!("http://{}:8081/", served.0);
    wait_until("the pages are served", || {
        ensure!(pages.is_running()?, "it ended before it served");
        Ok(ureq::get(&address).call().is_ok())
    })?;
    // a container's name has an underscore, which a resolver takes and a rule of the browser may not
    let host = Server::named(&served.0).address()?;
    let show = |fragment: &str| -> anyhow::Result<String> {
        let shown = open_in_a_browser(&host, &format!("http://{host}:8081/{fragment}"))?;
        ensure!(shown.complaints.is_empty(), "{:?}", shown.complaints);
        without_scripts(&shown.dom)
    };

    // the tree of models has each that the warehouse has
    let front = show("")?;
    let models = stage.texts(
        "select class.relname::text
         from pg_catalog.pg_class as class
         inner join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
         where namespace.nspname in ('staging', 'intermediate', 'marts')
             and class.relkind in ('r', 'v') and class.relowner = 'transformer'::regrole
         order by class.relname",
    )?;
    ensure!(models.len() > 20, "{models:?}");
    for model in &models {
        let entry = format!("data-nav-unique-id=\"model.ecomm.{model}\"");
        ensure!(front.contains(&entry), "{model} is not in the tree");
    }
    ensure!(
        !front.contains("<p>Grain: one row per order;"),
        "a page of a table at the front"
    );

    // a page of a table: what the project says of it, and what the warehouse does
    let page = show("#!/model/model.ecomm.fact_order")?;
    ensure!(
        page.contains("<p>Grain: one row per order;"),
        "no description"
    );
    let owner = page.split_once(">Owner</dt>").context("no owner")?.1;
    let owner = owner.split_once("</dd>").context("no owner")?.0;
    ensure!(owner.trim_end().ends_with(">transformer"), "{owner}");
    let columns = stage.sql()?.query(
        "select column_name::text, data_type::text from information_schema.columns
         where table_schema = 'marts' and table_name = 'fact_order' order by ordinal_position",
        &[],
    )?;
    ensure!(columns.len() == 15, "{} columns", columns.len());
    let mut rest = page.as_str();
    for column in &columns {
        let (name, kind): (String, String) = (column.get(0), column.get(1));
        let cell = |text: &str| format!("<span class=\"text-dark ng-binding\">{text}</span>");
        let (_, after) = rest
            .split_once(&cell(&name))
            .with_context(|| format!("no column {name}, or out of order"))?;
        let next = after.split("<span class=\"text-dark ng-binding\">").nth(1);
        let shown = next.and_then(|cell| cell.split('<').next());
        ensure!(
            shown.map(str::trim) == Some(kind.as_str()),
            "{name} is {kind}, and {shown:?} is shown"
        );
        rest = after;
    }
    Ok(())
}
