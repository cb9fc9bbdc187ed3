//! A reader of the few forms of DAX that our measures use, and what each means in SQL, as we understand
//! it. It is no engine of Power BI: it finds a slip of the pen in a measure, not an error of ours about DAX.
//! A form that it does not know is an error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};

use crate::tmdl;

/// A column of a table.
pub type Column = (String, String);

/// What a measure says.
#[derive(Debug, Clone)]
pub enum Expression {
    Number(String),
    Text(String),
    Measure(String),
    Column(Column),
    Table(String),
    Call(String, Vec<Expression>),
    Not(Box<Expression>),
    Operation(Box<Expression>, String, Box<Expression>),
}

// ---- reading -------------------------------------------------------------------------------------

/// Strongest first.
const LEVELS: [&[&str]; 3] = [&["*", "/"], &["+", "-"], &["<>", "<=", ">=", "=", "<", ">"]];

/// The whole of a text.
pub fn parse(text: &str) -> anyhow::Result<Expression> {
    let mut rest = text;
    let expression = operation(&mut rest, LEVELS.len()).with_context(|| format!("in {text}"))?;
    ensure!(rest.trim().is_empty(), "{rest} in {text}");
    Ok(expression)
}

fn take(rest: &mut &str, sign: &str) -> bool {
    match rest.trim_start().strip_prefix(sign) {
        Some(after) => *rest = after,
        None => return false,
    }
    true
}

fn operation(rest: &mut &str, level: usize) -> anyhow::Result<Expression> {
    let Some(signs) = level.checked_sub(1).map(|level| LEVELS[level]) else {
        return atom(rest);
    };
    let mut left = operation(rest, level - 1)?;
    while let Some(sign) = signs.iter().find(|sign| take(rest, sign)) {
        let right = operation(rest, level - 1)?;
        left = Expression::Operation(Box::new(left), (*sign).to_owned(), Box::new(right));
    }
    Ok(left)
}

fn until<'a>(rest: &mut &'a str, end: char) -> anyhow::Result<&'a str> {
    let (inside, after) = rest.split_once(end).with_context(|| format!("no {end}"))?;
    *rest = after;
    Ok(inside)
}

fn atom(rest: &mut &str) -> anyhow::Result<Expression> {
    if take(rest, "(") {
        let inside = operation(rest, LEVELS.len())?;
        ensure!(take(rest, ")"), "an open bracket before {rest}");
        return Ok(inside);
    }
    if take(rest, "\"") {
        return Ok(Expression::Text(until(rest, '"')?.to_owned()));
    }
    if take(rest, "[") {
        return Ok(Expression::Measure(until(rest, ']')?.to_owned()));
    }
    *rest = rest.trim_start();
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let (digits, after) = rest.split_at(end.unwrap_or(rest.len()));
    if !digits.is_empty() {
        *rest = after;
        return Ok(Expression::Number(digits.to_owned()));
    }
    let (word, after) = tmdl::name(rest)?;
    *rest = after;
    if word == "NOT" {
        return Ok(Expression::Not(Box::new(atom(rest)?)));
    }
    if rest.starts_with('[') {
        *rest = &rest[1..];
        return Ok(Expression::Column((word, until(rest, ']')?.to_owned())));
    }
    if !take(rest, "(") {
        return Ok(Expression::Table(word));
    }
    let mut given = vec![operation(rest, LEVELS.len())?];
    while take(rest, ",") {
        given.push(operation(rest, LEVELS.len())?);
    }
    ensure!(take(rest, ")"), "an open bracket before {rest}");
    Ok(Expression::Call(word, given))
}

// ---- the measures of a model ---------------------------------------------------------------------

/// Every measure by its name.
pub type Measures = BTreeMap<String, Expression>;

/// Columns and tables that a measure reads, those of the measures it names included.
#[derive(Debug, Default)]
pub struct Reads {
    pub columns: BTreeSet<Column>,
    pub tables: BTreeSet<String>,
}

impl Reads {
    /// Follows an expression into everything it names.
    pub fn of(measures: &Measures, expression: &Expression) -> anyhow::Result<Reads> {
        let mut reads = Reads::default();
        // a measure that names itself would never end
        reads.follow(measures, expression, measures.len())?;
        Ok(reads)
    }

    fn follow(
        &mut self,
        measures: &Measures,
        expression: &Expression,
        patience: usize,
    ) -> anyhow::Result<()> {
        match expression {
            Expression::Number(_) | Expression::Text(_) => {}
            Expression::Table(table) => {
                self.tables.insert(table.clone());
            }
            Expression::Column((table, name)) => {
                self.tables.insert(table.clone());
                self.columns.insert((table.clone(), name.clone()));
            }
            Expression::Measure(name) => {
                let patience = patience.checked_sub(1).context("measures in a circle")?;
                self.follow(measures, measure(measures, name)?, patience)?;
            }
            Expression::Not(inside) => self.follow(measures, inside, patience)?,
            Expression::Call(_, given) => {
                for expression in given {
                    self.follow(measures, expression, patience)?;
                }
            }
            Expression::Operation(left, _, right) => {
                self.follow(measures, left, patience)?;
                self.follow(measures, right, patience)?;
            }
        }
        Ok(())
    }
}

fn measure<'a>(measures: &'a Measures, name: &str) -> anyhow::Result<&'a Expression> {
    measures
        .get(name)
        .with_context(|| format!("no measure [{name}]"))
}

// ---- the same in SQL -------------------------------------------------------------------------------

/// What is filtered, by column: a filter inside replaces the one outside, as in DAX.
pub type Filters = BTreeMap<Column, String>;

/// A measure's value, with no filter from outside.
pub fn sql(measures: &Measures, name: &str) -> anyhow::Result<String> {
    value(measures, measure(measures, name)?, &Filters::new()).with_context(|| name.to_owned())
}

fn value(
    measures: &Measures,
    expression: &Expression,
    filters: &Filters,
) -> anyhow::Result<String> {
    Ok(match expression {
        Expression::Number(number) => number.clone(),
        Expression::Measure(name) => value(measures, measure(measures, name)?, filters)?,
        Expression::Operation(left, sign, right) => {
            let (left, right) = (
                value(measures, left, filters)?,
                value(measures, right, filters)?,
            );
            // nothing is 0 to + and -
            match sign.as_str() {
                "+" | "-" => format!("(coalesce({left}, 0) {sign} coalesce({right}, 0))"),
                _ => format!("({left} {sign} {right})"),
            }
        }
        Expression::Call(function, given) => call(measures, function, given, filters)?,
        other => bail!("{other:?} is no value"),
    })
}

fn call(
    measures: &Measures,
    function: &str,
    given: &[Expression],
    filters: &Filters,
) -> anyhow::Result<String> {
    let column = |what: &str| match given {
        [Expression::Column((table, name))] => select(&format!("{what}{name})"), table, filters),
        _ => bail!("{function} of {given:?}"),
    };
    match (function, given) {
        ("SUM", _) => column("sum("),
        ("AVERAGE", _) => column("avg("),
        ("COUNT", _) => column("count("),
        ("DISTINCTCOUNT", _) => column("count(distinct "),
        ("DIVIDE", [above, below]) => {
            let (above, below) = (
                value(measures, above, filters)?,
                value(measures, below, filters)?,
            );
            Ok(format!(
                "(({above})::double precision / nullif({below}, 0))"
            ))
        }
        ("CALCULATE", [inside, added @ ..]) => {
            let mut own = Filters::new();
            for filter in added {
                let (column, condition) = condition(filter)?;
                let earlier = own.insert(column, condition);
                ensure!(
                    earlier.is_none(),
                    "two filters of one column are not read here"
                );
            }
            let mut all = filters.clone();
            all.extend(own);
            value(measures, inside, &all)
        }
        ("COUNTROWS", [Expression::Table(table)]) => select("count(*)", table, filters),
        ("COUNTROWS", [Expression::Call(filter, given)]) if filter == "FILTER" => {
            members(measures, given, filters)
        }
        _ => bail!("{function} is not read here"),
    }
}

/// `FILTER(VALUES(t[c]), condition)`: the values of a column for which a condition holds. Each value
/// filters the measures of the condition.
fn members(measures: &Measures, given: &[Expression], filters: &Filters) -> anyhow::Result<String> {
    let [Expression::Call(values, of), condition] = given else {
        bail!("FILTER of {given:?}");
    };
    let ([Expression::Column(column)], "VALUES") = (of.as_slice(), values.as_str()) else {
        bail!("FILTER of {given:?}");
    };
    let mut each = filters.clone();
    each.insert(column.clone(), format!("{} = member.name", column.1));
    let holds = value(measures, condition, &each)?;
    let names = select(
        &format!("distinct {} as name", column.1),
        &column.0,
        filters,
    )?;
    Ok(format!(
        "(select count(*) from {names} as member where {holds})"
    ))
}

/// A filter of one column.
fn condition(filter: &Expression) -> anyhow::Result<(Column, String)> {
    Ok(match filter {
        Expression::Not(inside) => {
            let (column, condition) = condition(inside)?;
            (column, format!("not ({condition})"))
        }
        Expression::Call(function, given) if function == "ISBLANK" => match given.as_slice() {
            [Expression::Column(column)] => (column.clone(), format!("{} is null", column.1)),
            _ => bail!("ISBLANK of {given:?}"),
        },
        Expression::Operation(left, sign, right) => {
            let Expression::Column(column) = left.as_ref() else {
                bail!("a filter of {left:?}");
            };
            let right = match right.as_ref() {
                Expression::Number(number) => number.clone(),
                Expression::Text(text) => format!("'{}'", text.replace('\'', "''")),
                other => bail!("a filter with {other:?}"),
            };
            (column.clone(), format!("{} {sign} {right}", column.1))
        }
        other => bail!("{other:?} is no filter"),
    })
}

/// Filters that come from another table are not read here: none of our measures has one.
fn select(what: &str, table: &str, filters: &Filters) -> anyhow::Result<String> {
    let mut conditions = Vec::new();
    for ((filtered, _), condition) in filters {
        ensure!(filtered == table, "a filter of {filtered} on {table}");
        conditions.push(format!(" and {condition}"));
    }
    Ok(format!(
        "(select {what} from marts.{table} where true{})",
        conditions.concat()
    ))
}
