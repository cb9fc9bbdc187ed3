//! A wrong row in the star stops the run that sees it, and is kept where the run says.

use anyhow::ensure;
use integration::Stage;

#[test]
fn a_wrong_row_stops_the_run_and_is_kept() -> anyhow::Result<()> {
    let stage = Stage::new("quality", 1)?;
    let day = |seed: &str, count: &str| -> anyhow::Result<()> {
        let options = ["--seed", seed, "--count", count, "--start", "2026-10-01"];
        stage.task("produce").args(options).succeed()?;
        stage.task("archive").succeed()?;
        stage.task("load").succeed()?;
        Ok(())
    };
    let files = ["--users", "../data/users.json"];
    let more_files = ["--products", "../data/products.json"];
    stage
        .task("catalog")
        .args(files.into_iter().chain(more_files))
        .succeed()?;
    day("92", "2000")?;
    stage.dbt().succeed()?;
    let kept =
        "select count(*) from information_schema.tables where table_schema = 'test_failures'";
    ensure!(
        stage.number(kept)? == 0,
        "rows are kept of a run that found none"
    );

    // a coin that no order paid, in a line that no later run writes again
    let mut sql = stage.sql()?;
    let line = sql.query_one(
        "update marts.fact_order_item set amount = amount + 0.01
         where (order_id, line_number) =
            (select order_id, line_number from marts.fact_order_item order by order_id, line_number limit 1)
         returning order_id, line_number, date_sk",
        &[],
    )?;
    let (order, number, planted): (String, i32, i32) = (line.get(0), line.get(1), line.get(2));
    day("93", "500")?;
    let before = stage.number("select count(*) from intermediate.int_built_load")?;
    let error = stage.dbt().run()?.fails_with(2)?;
    ensure!(
        error.contains("test_failures.money_agrees"),
        "it does not say where: {error}"
    );
    let found = sql.query(
        "select date_sk, (by_line - by_order)::text, by_product = by_order, by_day = by_order
         from test_failures.money_agrees",
        &[],
    )?;
    let [row] = &found[..] else {
        anyhow::bail!("{} rows are kept", found.len());
    };
    let told: (i32, String, bool, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
    ensure!(told == (planted, "0.01".to_owned(), true, true), "{told:?}");
    ensure!(stage.number(kept)? == 1, "of tests that passed too");
    // what is not right is not called built
    let after = stage.number("select count(*) from intermediate.int_built_load")?;
    ensure!(after == before, "{before} loads were built, {after} are");

    // mended, it goes on; the rows stay to be looked at
    let mended = sql.execute(
        "update marts.fact_order_item set amount = amount - 0.01 where order_id = $1 and line_number = $2",
        &[&order, &number],
    )?;
    ensure!(mended == 1, "{mended} lines are mended");
    stage.dbt().succeed()?;
    let built = stage.number("select count(*) from intermediate.int_built_load")?;
    ensure!(built > before, "{built} loads are built");
    let still = stage.number("select count(*) from test_failures.money_agrees")?;
    ensure!(still == 1, "{still} rows are left");
    Ok(())
}
