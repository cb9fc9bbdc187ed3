//! The Power BI project: its files are whole, every name in them leads somewhere, the model is the
//! warehouse's, and every measure comes to what was sent. No Power BI runs here: that Desktop opens the
//! project, and how it draws the pages, is not tested.
//!
//! The rules for the JSON files below are ours. `powerbi/check_schemas.py` checks them against Microsoft's
//! schemas, which are elsewhere.

#[path = "powerbi/dax.rs"]
mod dax;
#[path = "powerbi/sent.rs"]
mod sent;
#[path = "powerbi/tmdl.rs"]
mod tmdl;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use integration::Stage;
use serde_json::Value;

const PROJECT: &str = "../powerbi";
const SCHEMAS: &str = "https://developer.microsoft.com/json-schemas/fabric/";

fn model() -> anyhow::Result<tmdl::Object> {
    tmdl::read_model(&Path::new(PROJECT).join("shop.SemanticModel/definition"))
}

fn measures(model: &tmdl::Object) -> anyhow::Result<dax::Measures> {
    let mut found = dax::Measures::new();
    for table in model.all("table") {
        for measure in table.all("measure") {
            let expression = dax::parse(&measure.value)?;
            let earlier = found.insert(measure.name.clone(), expression);
            ensure!(earlier.is_none(), "[{}] is there twice", measure.name);
        }
    }
    Ok(found)
}

// ---- the model -------------------------------------------------------------------------------------

#[test]
fn tables_are_the_marts_and_nothing_is_left_to_chance() -> anyhow::Result<()> {
    let model = model()?;
    let named: BTreeSet<&String> = model.all("ref").map(|table| &table.name).collect();
    let tables: BTreeSet<&String> = model.all("table").map(|table| &table.name).collect();
    ensure!(
        named == tables,
        "model.tmdl names {named:?}, there are {tables:?}"
    );
    let parameters: BTreeSet<&str> = model.all("expression").map(|it| it.name.as_str()).collect();
    ensure!(
        parameters == BTreeSet::from(["PgDatabase", "PgServer"]),
        "{parameters:?}"
    );
    for parameter in model.all("expression") {
        ensure!(
            parameter.value.contains("IsParameterQuery=true"),
            "{}",
            parameter.name
        );
    }
    // totals come from measures alone, which are tested
    ensure!(
        model.is("discourageImplicitMeasures"),
        "columns may be summed up"
    );
    for table in model.all("table") {
        rows_are_read_from_the_mart(table).context(table.name.clone())?;
        let mut names = BTreeSet::new();
        for column in table.all("column") {
            let name = column.name.as_str();
            ensure!(names.insert(name.to_lowercase()), "{name} is there twice");
            ensure!(
                column.property("sourceColumn")? == name,
                "{name} has another name in its source"
            );
            ensure!(
                column.property("summarizeBy")? == "none",
                "{name} is summed up"
            );
        }
        for measure in table.all("measure") {
            let name = format!("[{}]", measure.name);
            // a column and a measure of one table may not share a name
            ensure!(
                names.insert(measure.name.to_lowercase()),
                "{name} is there twice"
            );
            ensure!(measure.description.len() > 15, "{name} has no description");
            ensure!(!measure.property("formatString")?.is_empty(), "{name}");
            ensure!(!measure.property("displayFolder")?.is_empty(), "{name}");
        }
    }
    Ok(())
}

fn rows_are_read_from_the_mart(table: &tmdl::Object) -> anyhow::Result<()> {
    ensure!(!table.description.is_empty(), "no description");
    let partitions: Vec<&tmdl::Object> = table.all("partition").collect();
    let [partition] = partitions[..] else {
        bail!("{} partitions", partitions.len());
    };
    ensure!(
        partition.value == "m" && partition.property("mode")? == "import",
        "no import"
    );
    let wanted = format!(
        "let\n\
         Source = PostgreSQL.Database(PgServer, PgDatabase, [CreateNavigationProperties = false]),\n\
         Rows = Source{{[Schema = \"marts\", Item = \"{}\"]}}[Data]\n\
         in\n\
         Rows",
        table.name
    );
    let source = partition.property("source")?;
    ensure!(source == wanted, "it reads {source}");
    Ok(())
}

/// The ends of a relationship: the column of the many, the column of the one.
fn ends(relationship: &tmdl::Object) -> anyhow::Result<[(String, String); 2]> {
    Ok([
        tmdl::column(relationship.property("fromColumn")?)?,
        tmdl::column(relationship.property("toColumn")?)?,
    ])
}

#[test]
fn relationships_have_two_ends_and_one_way() -> anyhow::Result<()> {
    let model = model()?;
    let mut pairs = BTreeSet::new();
    let (mut many, mut one) = (BTreeSet::new(), BTreeSet::new());
    for relationship in model.all("relationship") {
        let name = &relationship.name;
        let mut types = BTreeSet::new();
        let ends = ends(relationship).context(name.clone())?;
        for (table, column) in &ends {
            let column = model.child("table", table)?.child("column", column)?;
            types.insert(column.property("dataType")?.to_owned());
        }
        ensure!(types.len() == 1, "{name}: its ends are of {types:?}");
        let [from, to] = ends;
        ensure!(
            pairs.insert((from.0.clone(), to.0.clone())),
            "{name}: a second way"
        );
        many.insert(from.0);
        one.insert(to.0);
    }
    // no table is at both ends, so that filters go one way and by one path
    ensure!(many.is_disjoint(&one), "{many:?}, {one:?}");
    let tables: BTreeSet<String> = model.all("table").map(|table| table.name.clone()).collect();
    let related: BTreeSet<String> = many.union(&one).cloned().collect();
    ensure!(related == tables, "only {related:?} are related");
    // every table of the many can be cut by days
    for table in &many {
        let by_day = pairs.contains(&(table.clone(), "dim_date".to_owned()));
        ensure!(by_day, "{table} knows no day");
    }
    Ok(())
}

#[test]
fn dim_date_is_the_date_table() -> anyhow::Result<()> {
    let model = model()?;
    for table in model.all("table") {
        let marked = table
            .properties
            .get("dataCategory")
            .is_some_and(|said| said == "Time");
        ensure!(marked == (table.name == "dim_date"), "{}", table.name);
        let keys: Vec<&tmdl::Object> = table.all("column").filter(|it| it.is("isKey")).collect();
        ensure!(keys.len() <= 1, "{} has {} keys", table.name, keys.len());
        if marked {
            let key = keys.first().context("no key")?;
            ensure!(
                key.name == "full_date" && key.property("dataType")? == "dateTime",
                "{key:?}"
            );
        }
    }
    // Desktop would make date tables of its own beside it
    let automatic = model.child("annotation", "__PBI_TimeIntelligenceEnabled")?;
    ensure!(automatic.value == "0", "{}", automatic.value);
    Ok(())
}

#[test]
fn measures_name_what_is_there() -> anyhow::Result<()> {
    let model = model()?;
    let measures = measures(&model)?;
    ensure!(measures.len() > 40, "{} measures", measures.len());
    for (name, expression) in &measures {
        let reads = dax::Reads::of(&measures, expression).context(name.clone())?;
        ensure!(!reads.tables.is_empty(), "[{name}] reads nothing");
        for table in &reads.tables {
            model.child("table", table).context(name.clone())?;
        }
        for (table, column) in &reads.columns {
            let table = model.child("table", table)?;
            table.child("column", column).context(name.clone())?;
        }
    }
    Ok(())
}

/// The reader would be worth nothing if it let this pass.
#[test]
fn readers_refuse_what_they_do_not_know() -> anyhow::Result<()> {
    for text in [
        "table t\n\tcolum a\n",
        "table t\n\tcolumn a\n\t\tdatatype: int64\n",
        "table t\n\tcolumn a\n\t\tdataType: int64\n\t\tdataType: string\n",
        "table t\n    column a\n",
        "table t\n\t\tcolumn a\n",
        "table t\n\n\tpartition t = m\n\t\tmode: import\n\t\tsource =\n\t\t\tlet\n",
        "table t\n\n\t/// said of nothing\n",
    ] {
        ensure!(tmdl::parse(text).is_err(), "{text}");
    }
    for text in ["SUM(t[a]", "SUM(t[a]) t", "[a] +", "DIVIDE([a], )", "\"a"] {
        ensure!(dax::parse(text).is_err(), "{text}");
    }
    for text in [
        "MEDIAN(t[a])",
        "SUM(t)",
        "CALCULATE(SUM(t[a]), other[b] = 1)",
        "[b]",
        "[m]",
    ] {
        let measures = dax::Measures::from([("m".to_owned(), dax::parse(text)?)]);
        let circle = text == "[m]";
        let refused = match circle {
            true => dax::Reads::of(&measures, &measures["m"]).is_err(),
            false => dax::sql(&measures, "m").is_err(),
        };
        ensure!(refused, "{text}");
    }
    Ok(())
}

// ---- the report ------------------------------------------------------------------------------------

fn json(path: &Path) -> anyhow::Result<Value> {
    let read = || -> anyhow::Result<Value> {
        let text = fs::read_to_string(path)?;
        ensure!(!text.starts_with('\u{feff}'), "a byte order mark");
        Ok(serde_json::from_str(&text)?)
    };
    read().with_context(|| path.display().to_string())
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field].as_str().with_context(|| format!("no {field}"))
}

fn number(value: &Value, field: &str) -> anyhow::Result<f64> {
    value[field].as_f64().with_context(|| format!("no {field}"))
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// Folders by their name, each with the JSON file that describes it.
fn folders(under: &Path, file: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(under)? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path
                .file_name()
                .context("no name")?
                .to_string_lossy()
                .into_owned();
            let content = json(&path.join(file))?;
            // Desktop passes over a folder whose name it does not like, without a word
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
            ensure!(name.chars().all(plain) && name.len() <= 50, "{name}");
            ensure!(
                text(&content, "name")? == name,
                "{name} is the folder of another"
            );
            found.insert(name, content);
        }
    }
    Ok(found)
}

fn pages() -> anyhow::Result<BTreeMap<String, Value>> {
    folders(
        &Path::new(PROJECT).join("shop.Report/definition/pages"),
        "page.json",
    )
}

fn visuals(page: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let under = format!("shop.Report/definition/pages/{page}/visuals");
    folders(&Path::new(PROJECT).join(under), "visual.json")
}

/// Which schema a file follows. These versions belong together.
fn schema(path: &Path) -> Option<&'static str> {
    let known = [
        ("shop.pbip", "pbip/pbipProperties/1.0.0"),
        (".platform", "gitIntegration/platformProperties/2.0.0"),
        (
            "definition.pbism",
            "item/semanticModel/definitionProperties/1.0.0",
        ),
        ("definition.pbir", "item/report/definitionProperties/2.0.0"),
        (
            "version.json",
            "item/report/definition/versionMetadata/1.0.0",
        ),
        ("report.json", "item/report/definition/report/3.2.0"),
        ("pages.json", "item/report/definition/pagesMetadata/1.0.0"),
        ("page.json", "item/report/definition/page/2.1.0"),
        (
            "visual.json",
            "item/report/definition/visualContainer/2.7.0",
        ),
    ];
    let found = known.iter().find(|known| path.ends_with(known.0));
    found.map(|known| known.1)
}

#[test]
fn files_are_whole_and_hold_no_secret() -> anyhow::Result<()> {
    let project = Path::new(PROJECT);
    let mut followed = BTreeSet::new();
    for path in files(&project.join("shop.Report"))?
        .into_iter()
        .chain(files(&project.join("shop.SemanticModel"))?)
        .chain([project.join("shop.pbip")])
    {
        let said = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for word in ["password", "pwd=", "bi_reader"] {
            let there = said.to_lowercase().contains(word);
            ensure!(!there, "{}: {word}", path.display());
        }
        if path
            .extension()
            .is_some_and(|extension| extension == "tmdl")
        {
            continue;
        }
        let wanted = schema(&path).with_context(|| format!("what is {}?", path.display()))?;
        let content = json(&path)?;
        let address = format!("{SCHEMAS}{wanted}/schema.json");
        ensure!(
            content["$schema"] == address.as_str(),
            "{} follows another",
            path.display()
        );
        followed.insert(wanted);
    }
    ensure!(followed.len() == 9, "only {followed:?} are there");
    let shortcut = json(&project.join("shop.pbip"))?;
    ensure!(
        shortcut["artifacts"][0]["report"]["path"] == "shop.Report",
        "{shortcut}"
    );
    let binding = json(&project.join("shop.Report/definition.pbir"))?;
    let model = &binding["datasetReference"]["byPath"]["path"];
    ensure!(model == "../shop.SemanticModel", "{model}");
    let report = json(&project.join("shop.Report/definition/report.json"))?;
    // a theme that is named must be there as a file; we name none
    ensure!(
        report["themeCollection"] == serde_json::json!({}),
        "{report}"
    );
    ensure!(report["resourcePackages"].is_null(), "{report}");
    for (folder, kind) in [
        ("shop.Report", "Report"),
        ("shop.SemanticModel", "SemanticModel"),
    ] {
        let platform = json(&project.join(folder).join(".platform"))?;
        ensure!(platform["metadata"]["type"] == kind, "{platform}");
    }
    Ok(())
}

#[test]
fn pages_are_the_five_and_visuals_have_room() -> anyhow::Result<()> {
    let folder = Path::new(PROJECT).join("shop.Report/definition/pages/pages.json");
    let order = json(&folder)?;
    let ordered: Vec<&str> = order["pageOrder"]
        .as_array()
        .context("no order")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let pages = pages()?;
    ensure!(ordered.len() == pages.len(), "{ordered:?}");
    let mut titles = Vec::new();
    for name in &ordered {
        let page = pages
            .get(*name)
            .with_context(|| format!("no page {name}"))?;
        ensure!(text(page, "displayOption")? == "FitToPage", "{name}");
        titles.push(text(page, "displayName")?);
        let mut taken: Vec<(String, [f64; 4])> = Vec::new();
        for (visual, content) in visuals(name)? {
            let place = &content["position"];
            let (left, top) = (number(place, "x")?, number(place, "y")?);
            let right = left + number(place, "width")?;
            let bottom = top + number(place, "height")?;
            let inside = left >= 0.0
                && top >= 0.0
                && right <= number(page, "width")?
                && bottom <= number(page, "height")?;
            ensure!(
                inside && right > left && bottom > top,
                "{name}/{visual}: outside"
            );
            for (other, [l, t, r, b]) in &taken {
                let apart = right <= *l || left >= *r || bottom <= *t || top >= *b;
                ensure!(apart, "{name}/{visual} covers {other}");
            }
            taken.push((visual, [left, top, right, bottom]));
        }
        ensure!(taken.len() > 6, "{name} is nearly empty");
    }
    ensure!(
        titles == ["Sales", "Funnel", "Products", "Customers", "Operations"],
        "{titles:?}"
    );
    ensure!(order["activePageName"] == ordered[0], "{order}");
    Ok(())
}

/// A field of a visual, in its words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Column(String, String),
    Measure(String, String),
}

impl Field {
    fn read(expression: &Value) -> anyhow::Result<Field> {
        let kinds = expression.as_object().context("no field")?;
        let mut found = Vec::new();
        for (kind, inside) in kinds {
            let table = text(&inside["Expression"]["SourceRef"], "Entity")?.to_owned();
            let name = text(inside, "Property")?.to_owned();
            found.push(match kind.as_str() {
                "Column" => Field::Column(table, name),
                "Measure" => Field::Measure(table, name),
                other => bail!("a field that is a {other}"),
            });
        }
        ensure!(found.len() == 1, "{expression}");
        found.pop().context("no field")
    }

    fn place(&self) -> (&str, &str) {
        match self {
            Field::Column(table, name) | Field::Measure(table, name) => (table, name),
        }
    }

    fn resolve(&self, model: &tmdl::Object) -> anyhow::Result<()> {
        let (table, name) = self.place();
        let kind = match self {
            Field::Column(..) => "column",
            Field::Measure(..) => "measure",
        };
        model.child("table", table)?.child(kind, name)?;
        Ok(())
    }
}

/// The roles that a kind of visual has for columns, and those for measures.
fn roles(kind: &str) -> anyhow::Result<(&'static [&'static str], &'static [&'static str])> {
    Ok(match kind {
        "card" => (&[], &["Values"]),
        "slicer" => (&["Values"], &[]),
        "tableEx" => (&["Values"], &["Values"]),
        "pivotTable" => (&["Rows", "Columns"], &["Values"]),
        "funnel" => (&["Category"], &["Y"]),
        "donutChart" => (&["Category"], &["Y"]),
        "lineChart" | "columnChart" | "clusteredColumnChart" | "clusteredBarChart" => {
            (&["Category", "Series"], &["Y"])
        }
        other => bail!("nobody knows the visual {other}"),
    })
}

/// What a visual shows, each field in a role that its kind has for it.
fn shown(visual: &Value) -> anyhow::Result<BTreeSet<Field>> {
    let (for_columns, for_measures) = roles(text(visual, "visualType")?)?;
    let mut found = BTreeSet::new();
    let state = visual["query"]["queryState"]
        .as_object()
        .context("no query")?;
    for (role, content) in state {
        for projection in content["projections"].as_array().context("no fields")? {
            let field = Field::read(&projection["field"])?;
            let fitting = match field {
                Field::Column(..) => for_columns,
                Field::Measure(..) => for_measures,
            };
            ensure!(fitting.contains(&role.as_str()), "{field:?} as {role}");
            let (table, name) = field.place();
            ensure!(
                text(projection, "queryRef")? == format!("{table}.{name}"),
                "{projection}"
            );
            ensure!(text(projection, "nativeQueryRef")? == name, "{projection}");
            ensure!(found.insert(field), "twice: {projection}");
        }
    }
    ensure!(!found.is_empty(), "it shows nothing");
    Ok(found)
}

/// Every field below a value, wherever it stands: also in a filter that Desktop adds.
fn fields(value: &Value, found: &mut Vec<Field>) -> anyhow::Result<()> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| fields(value, found)),
        Value::Object(members) => {
            for (name, inside) in members {
                if ["Column", "Measure"].contains(&name.as_str()) && !inside["Expression"].is_null()
                {
                    found.push(Field::read(&serde_json::json!({ name: inside }))?);
                } else {
                    fields(inside, found)?;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[test]
fn fields_of_visuals_are_those_of_the_model() -> anyhow::Result<()> {
    let model = model()?;
    for page in pages()?.keys() {
        for (name, content) in visuals(page)? {
            let at = || format!("{page}/{name}");
            let visual = &content["visual"];
            let shown = shown(visual).with_context(at)?;
            let mut everywhere = Vec::new();
            fields(&content, &mut everywhere).with_context(at)?;
            ensure!(
                everywhere.len() >= shown.len(),
                "{page}/{name}: some are not found"
            );
            for field in &everywhere {
                field.resolve(&model).with_context(at)?;
            }
            for sort in visual["query"]["sortDefinition"]["sort"]
                .as_array()
                .unwrap_or(&Vec::new())
            {
                let field = Field::read(&sort["field"]).with_context(at)?;
                ensure!(
                    shown.contains(&field),
                    "{page}/{name} is sorted by what it does not show"
                );
            }
        }
    }
    Ok(())
}

/// A column that does not filter a measure repeats one number in every row of a visual, and a slicer that
/// does not reach a card leaves it as it was: wrong numbers that look right.
#[test]
fn columns_filter_the_measures_beside_them() -> anyhow::Result<()> {
    let model = model()?;
    let measures = measures(&model)?;
    let mut reach = BTreeSet::new();
    let mut many = BTreeSet::new();
    for relationship in model.all("relationship") {
        let [from, to] = ends(relationship)?;
        many.insert(from.0.clone());
        reach.insert((to.0, from.0));
    }
    let filters = |column: &Field, measure: &Field| -> anyhow::Result<()> {
        let (table, name) = measure.place();
        let expression = measures.get(name).with_context(|| format!("no [{name}]"))?;
        for read in dax::Reads::of(&measures, expression)?.tables {
            let (of, _) = column.place();
            // what counts the members of a dimension does so whatever the facts are
            let reached = of == read || reach.contains(&(of.to_owned(), read.clone()));
            ensure!(
                reached || !many.contains(&read),
                "{column:?} does not filter {table}[{name}]"
            );
        }
        Ok(())
    };
    for page in pages()?.keys() {
        let visuals = visuals(page)?;
        let mut all = BTreeSet::new();
        let mut sliced = BTreeSet::new();
        for (name, content) in &visuals {
            let visual = &content["visual"];
            let shown = shown(visual)?;
            let is_column = |field: &&Field| matches!(field, Field::Column(..));
            let (columns, own): (Vec<&Field>, Vec<&Field>) = shown.iter().partition(is_column);
            for measure in &own {
                for column in &columns {
                    filters(column, measure).with_context(|| format!("{page}/{name}"))?;
                }
            }
            all.extend(own.into_iter().cloned());
            if visual["visualType"] == "slicer" {
                sliced.extend(columns.into_iter().cloned());
            }
        }
        let days = Field::Column("dim_date".to_owned(), "full_date".to_owned());
        ensure!(sliced.contains(&days), "{page} has no choice of days");
        for column in &sliced {
            for measure in &all {
                filters(column, measure).with_context(|| format!("a slicer of {page}"))?;
            }
        }
    }
    Ok(())
}

// ---- the warehouse ---------------------------------------------------------------------------------

/// What the connector makes of a type of PostgreSQL.
fn type_of(postgres: &str) -> anyhow::Result<&'static str> {
    Ok(match postgres {
        "text" => "string",
        "smallint" | "integer" | "bigint" => "int64",
        "double precision" | "numeric" => "double",
        "boolean" => "boolean",
        "date" | "timestamp without time zone" => "dateTime",
        other => bail!("nobody knows the type {other}"),
    })
}

/// The queries of a file, each by the name in the comment above it.
fn queries(file: &str, mark: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(Path::new(PROJECT).join(file))?;
    let mut found = BTreeMap::new();
    for piece in text.split(&format!("-- {mark}: ")).skip(1) {
        let (name, query) = piece.split_once('\n').context("no query")?;
        let query = query
            .trim()
            .strip_suffix(';')
            .with_context(|| format!("{name} has no end"))?;
        ensure!(!query.contains(';'), "{name} has two ends");
        let earlier = found.insert(name.to_owned(), query.to_owned());
        ensure!(earlier.is_none(), "{name} is there twice");
    }
    Ok(found)
}

/// The SQL of each measure, by its name.
fn twins() -> anyhow::Result<BTreeMap<String, String>> {
    queries("measures.sql", "measure")
}

#[test]
fn preview_knows_every_chart() -> anyhow::Result<()> {
    let mut charts = BTreeSet::new();
    for page in pages()?.keys() {
        for (name, content) in visuals(page)? {
            if !["card", "slicer"].contains(&text(&content["visual"], "visualType")?) {
                charts.insert(format!("{page}/{name}"));
            }
        }
    }
    let drawn: BTreeSet<String> = queries("preview.sql", "visual")?.into_keys().collect();
    let lonely: Vec<&String> = charts.symmetric_difference(&drawn).collect();
    ensure!(lonely.is_empty(), "in one of both only: {lonely:?}");
    Ok(())
}

#[test]
fn every_measure_has_a_twin_in_sql() -> anyhow::Result<()> {
    let of_model: BTreeSet<String> = measures(&model()?)?.into_keys().collect();
    let of_file: BTreeSet<String> = twins()?.into_keys().collect();
    let lonely: Vec<&String> = of_model.symmetric_difference(&of_file).collect();
    ensure!(lonely.is_empty(), "without a twin: {lonely:?}");
    Ok(())
}

const CATALOG: [&str; 2] = ["../data/users.json", "../data/products.json"];

/// Five weeks of a shop that has more users than the catalog, in the warehouse; and what was sent.
fn shop() -> anyhow::Result<(Stage, String)> {
    let stage = Stage::new("powerbi", 3)?;
    let options = [
        "--count",
        "20000",
        "--seed",
        "7",
        "--start",
        "2026-01-05",
        "--history-days",
        "35",
        "--duplicate-ratio",
        "0.02",
        "--late-ratio",
        "0.02",
        "--users",
        "2100",
    ];
    let lines = stage
        .task("produce")
        .args(options)
        .args(["--stdout"])
        .run()?;
    ensure!(lines.code == Some(0), "{lines:?}");
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").succeed()?;
    let files = ["--users", CATALOG[0], "--products", CATALOG[1]];
    stage.task("catalog").args(files).succeed()?;
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    Ok((stage, lines.stdout))
}

#[test]
fn model_is_the_warehouse_and_measures_are_what_was_sent() -> anyhow::Result<()> {
    let (stage, lines) = shop()?;
    let model = model()?;
    columns_are_those_of_the_warehouse(&stage, &model)?;
    for relationship in model.all("relationship") {
        keys_are_found(&stage, relationship).context(relationship.name.clone())?;
    }
    let measures = measures(&model)?;
    let twins = twins()?;
    let sent = sent::measures(&lines, CATALOG[0], CATALOG[1])?;
    let mut client = stage.sql()?;
    let mut value = |query: &str| -> anyhow::Result<f64> {
        let query = format!("select twin.number::double precision from ({query}) as twin (number)");
        let found: Option<f64> = client.query_one(&query, &[]).context(query.clone())?.get(0);
        found.with_context(|| format!("nothing: {query}"))
    };
    let mut wrong = Vec::new();
    for name in measures.keys() {
        let counted = *sent
            .get(name)
            .with_context(|| format!("{name} is not counted"))?;
        let twin = value(
            twins
                .get(name)
                .with_context(|| format!("{name} has no twin"))?,
        )?;
        let read = value(&format!("select {}", dax::sql(&measures, name)?))?;
        let near = |number: f64| (number - counted).abs() <= 1e-9 * counted.abs();
        // a measure that is 0 or 1 here would hide that it is wrong
        if !near(twin) || !near(read) || counted <= 0.0 || counted == 1.0 {
            wrong.push(format!("{name}: sent {counted}, twin {twin}, DAX {read}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    for (name, query) in queries("preview.sql", "visual")? {
        let rows = stage.number(&format!("select count(*) from ({query}) as shown"))?;
        ensure!(rows > 0, "{name} shows nothing");
    }
    ensure!(
        sent.len() == measures.len(),
        "counted and no measure: {:?}",
        sent.keys()
    );
    Ok(())
}

/// Both ways: a column that the model lacks would be added by the first refresh.
fn columns_are_those_of_the_warehouse(stage: &Stage, model: &tmdl::Object) -> anyhow::Result<()> {
    let mut client = stage.sql()?;
    for table in model.all("table") {
        let query = "select column_name::text, data_type::text from information_schema.columns
                     where table_schema = 'marts' and table_name = $1::text";
        let mut warehouse = BTreeMap::new();
        for row in client.query(query, &[&table.name])? {
            let (column, data_type): (String, String) = (row.get(0), row.get(1));
            warehouse.insert(column, type_of(&data_type)?.to_owned());
        }
        let mut of_model = BTreeMap::new();
        for column in table.all("column") {
            of_model.insert(column.name.clone(), column.property("dataType")?.to_owned());
        }
        ensure!(
            of_model == warehouse,
            "{}: the model has {of_model:?}, the warehouse {warehouse:?}",
            table.name
        );
        // as the one who reads reports
        let may = "select has_table_privilege('bi_reader', 'marts.' || $1::text, 'select')";
        let may: bool = client.query_one(may, &[&table.name])?.get(0);
        ensure!(may, "bi_reader may not read {}", table.name);
    }
    Ok(())
}

/// The one is unique, and every one of the many finds it.
fn keys_are_found(stage: &Stage, relationship: &tmdl::Object) -> anyhow::Result<()> {
    let [(many, foreign), (one, key)] = ends(relationship)?;
    let repeated = format!("select count(*) - count(distinct {key}) from marts.{one}");
    ensure!(stage.number(&repeated)? == 0, "{one}.{key} is no key");
    let rows = stage.number(&format!("select count({foreign}) from marts.{many}"))?;
    let joined = format!(
        "select count(*) from marts.{many} join marts.{one} on {one}.{key} = {many}.{foreign}"
    );
    ensure!(
        rows > 0 && stage.number(&joined)? == rows,
        "{rows} rows, not all of them find {one}"
    );
    Ok(())
}
