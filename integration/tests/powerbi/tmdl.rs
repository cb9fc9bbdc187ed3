//! A reader of as much TMDL as our model uses. What it does not know is an error and not skipped: a word
//! that is misspelt would be lost in silence otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// The objects that may stand there, each with its properties and its flags.
const KNOWN: [(&str, &[&str], &[&str]); 9] = [
    ("database", &["compatibilityLevel"], &[]),
    (
        "model",
        &[
            "culture",
            "defaultPowerBIDataSourceVersion",
            "sourceQueryCulture",
        ],
        &["discourageImplicitMeasures"],
    ),
    ("table", &["dataCategory"], &["isHidden"]),
    ("measure", &["formatString", "displayFolder"], &["isHidden"]),
    (
        "column",
        &[
            "dataType",
            "formatString",
            "dataCategory",
            "summarizeBy",
            "sourceColumn",
            "sortByColumn",
        ],
        &["isHidden", "isKey"],
    ),
    ("partition", &["mode", "source"], &[]),
    ("relationship", &["fromColumn", "toColumn"], &[]),
    ("expression", &[], &[]),
    ("annotation", &[], &[]),
];

/// One object: `kind name = value`, what is said of it, and what stands under it.
#[derive(Debug, Default)]
pub struct Object {
    pub kind: String,
    pub name: String,
    pub value: String,
    pub description: String,
    pub properties: BTreeMap<String, String>,
    pub children: Vec<Object>,
}

impl Object {
    /// The children of a kind.
    pub fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.children.iter().filter(move |child| child.kind == kind)
    }

    /// The child of that kind and name.
    pub fn child(&self, kind: &str, name: &str) -> anyhow::Result<&Object> {
        self.children
            .iter()
            .find(|child| child.kind == kind && child.name == name)
            .with_context(|| format!("{} has no {kind} {name}", self.name))
    }

    /// A property that must be there.
    pub fn property(&self, name: &str) -> anyhow::Result<&str> {
        self.properties
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("{} {} has no {name}", self.kind, self.name))
    }

    /// Whether a flag is set.
    pub fn is(&self, flag: &str) -> bool {
        self.properties.contains_key(flag)
    }
}

/// A line that is not empty: its number, its tabs, its text.
struct Line<'a> {
    number: usize,
    depth: usize,
    text: &'a str,
}

fn lines(text: &str) -> anyhow::Result<Vec<Line<'_>>> {
    let mut found = Vec::new();
    for (at, whole) in text.lines().enumerate() {
        let text = whole.trim_start_matches('\t');
        let number = at + 1;
        ensure!(
            !text.starts_with(' '),
            "line {number}: a blank before its first word"
        );
        if !text.is_empty() {
            let depth = whole.len() - text.len();
            found.push(Line {
                number,
                depth,
                text,
            });
        }
    }
    Ok(found)
}

/// A name, without its quotes, and what follows it.
pub fn name(text: &str) -> anyhow::Result<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text
            .find(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .unwrap_or(text.len());
        ensure!(end > 0, "no name: {text}");
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    // a quote in a name is doubled
    let (name, rest) = quoted.split_once('\'').context("an open quote")?;
    ensure!(
        !rest.starts_with('\''),
        "a name with a quote is not read here: {text}"
    );
    Ok((name.to_owned(), rest))
}

/// The table and the column of `table.column`.
pub fn column(text: &str) -> anyhow::Result<(String, String)> {
    let (table, rest) = name(text)?;
    let (column, rest) = name(rest.strip_prefix('.').context("no column")?)?;
    ensure!(rest.is_empty(), "{text}");
    Ok((table, column))
}

/// Every object of a file.
pub fn parse(text: &str) -> anyhow::Result<Vec<Object>> {
    let lines = lines(text)?;
    let mut rest = lines.as_slice();
    let objects = objects(&mut rest, 0)?;
    match rest.first() {
        None => Ok(objects),
        Some(line) => bail!("line {}: too deep: {}", line.number, line.text),
    }
}

fn objects(rest: &mut &[Line], depth: usize) -> anyhow::Result<Vec<Object>> {
    let mut found = Vec::new();
    let mut description = String::new();
    while let Some(line) = rest.first().filter(|line| line.depth == depth) {
        if let Some(said) = line.text.strip_prefix("///") {
            description.push_str(said.trim());
            *rest = &rest[1..];
            continue;
        }
        let context = || format!("line {}: {}", line.number, line.text);
        let mut object = head(line.text).with_context(context)?;
        object.description = std::mem::take(&mut description);
        *rest = &rest[1..];
        body(&mut object, rest, depth + 1)?;
        found.push(object);
    }
    ensure!(
        description.is_empty(),
        "a description of nothing: {description}"
    );
    Ok(found)
}

/// `kind name`, perhaps with ` = value`.
fn head(text: &str) -> anyhow::Result<Object> {
    let (kind, mut after) = text.split_once(' ').unwrap_or((text, ""));
    let mut object = Object {
        kind: kind.to_owned(),
        ..Object::default()
    };
    // `ref table x` names a table that has a file of its own
    if kind == "ref" {
        after = after.strip_prefix("table ").context("what is meant?")?;
    } else {
        ensure!(
            KNOWN.iter().any(|known| known.0 == kind),
            "no object of TMDL that we use"
        );
    }
    if kind != "database" {
        let (name, value) = name(after)?;
        object.name = name;
        match value.strip_prefix(" = ") {
            Some(value) => object.value = value.to_owned(),
            None => ensure!(value.is_empty(), "what is {value}?"),
        }
    }
    Ok(object)
}

/// Properties and flags, then the objects below.
fn body(object: &mut Object, rest: &mut &[Line], depth: usize) -> anyhow::Result<()> {
    let known = KNOWN.iter().find(|known| known.0 == object.kind);
    let (_, properties, flags) = known.copied().unwrap_or(("ref", &[], &[]));
    while let Some(line) = rest.first().filter(|line| line.depth == depth) {
        let word_end = line.text.find([':', ' ']).unwrap_or(line.text.len());
        let (word, value) = line.text.split_at(word_end);
        if flags.contains(&line.text) {
            object.properties.insert(word.to_owned(), String::new());
            *rest = &rest[1..];
        } else if let Some(value) = value
            .strip_prefix(": ")
            .filter(|_| properties.contains(&word))
        {
            let earlier = object.properties.insert(word.to_owned(), value.to_owned());
            ensure!(earlier.is_none(), "line {}: {word} once more", line.number);
            *rest = &rest[1..];
        } else if value == " =" && properties.contains(&word) {
            let end = rest[1..].iter().position(|line| line.depth <= depth);
            let (block, after) = rest[1..].split_at(end.unwrap_or(rest.len() - 1));
            // Desktop takes an expression for one only where it stands two levels deeper
            ensure!(
                !block.is_empty() && block.iter().all(|line| line.depth >= depth + 2),
                "line {}: its expression must stand two tabs deeper",
                line.number
            );
            let text: Vec<&str> = block.iter().map(|line| line.text).collect();
            object.properties.insert(word.to_owned(), text.join("\n"));
            *rest = after;
        } else {
            break;
        }
    }
    object.children = objects(rest, depth)?;
    Ok(())
}

/// The whole model: an object of kind `model` that holds what all files say.
pub fn read_model(folder: &Path) -> anyhow::Result<Object> {
    let read = |path: &Path| -> anyhow::Result<Vec<Object>> {
        let text = fs::read_to_string(path)?;
        ensure!(!text.starts_with('\u{feff}'), "a byte order mark");
        parse(&text)
    };
    let named = |path: &Path| read(path).with_context(|| path.display().to_string());
    let mut model = Object::default();
    for object in named(&folder.join("model.tmdl"))? {
        if object.kind == "model" {
            model = object;
        } else {
            // what follows the model without an indent belongs to it all the same
            model.children.push(object);
        }
    }
    ensure!(model.kind == "model", "model.tmdl has no model");
    for file in ["database.tmdl", "relationships.tmdl", "expressions.tmdl"] {
        model.children.extend(named(&folder.join(file))?);
    }
    for entry in fs::read_dir(folder.join("tables"))? {
        let path = entry?.path();
        let objects = named(&path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let own = objects.len() == 1 && objects[0].kind == "table" && objects[0].name == stem;
        ensure!(
            own,
            "{} is not the table of that name alone",
            path.display()
        );
        model.children.extend(objects);
    }
    Ok(model)
}
