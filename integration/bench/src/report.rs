//! Results: one JSON file each, and one table of all of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One figure, ours and the peer's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// File name, and order in the table.
    pub name: String,
    /// What was measured.
    pub what: String,
    /// Of the values.
    pub unit: String,
    /// How the values were obtained.
    pub how: String,
    /// One value per round.
    pub ours: Vec<f64>,
    /// What it is held against: a peer, or nothing.
    pub peer: Option<Peer>,
    /// What we want to reach, in words.
    pub aim: String,
    /// Where it was measured.
    #[serde(default)]
    pub machine: String,
}

impl Figure {
    /// Our side alone. The part of the name before the first `-` is the measurement.
    pub fn new(name: &str, what: &str, unit: &str, how: &str, ours: &[f64]) -> Figure {
        Figure {
            name: name.to_owned(),
            what: what.to_owned(),
            unit: unit.to_owned(),
            how: how.to_owned(),
            ours: ours.to_vec(),
            peer: None,
            aim: String::new(),
            machine: String::new(),
        }
    }

    /// Held against this.
    pub fn beside(mut self, name: &str, values: &[f64]) -> Figure {
        self.peer = Some(Peer {
            name: name.to_owned(),
            values: values.to_vec(),
        });
        self
    }

    /// The ratio to reach, or a value in words.
    pub fn aim(mut self, aim: &str) -> Figure {
        self.aim = aim.to_owned();
        self
    }
}

/// The other side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    pub name: String,
    /// One value per round.
    pub values: Vec<f64>,
}

/// The middle value: of an even number the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The value that so large a share of all is not above.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// The machine, and what it has to do now.
pub fn machine() -> anyhow::Result<String> {
    let line = |path: &str, name: &str| -> anyhow::Result<String> {
        let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        let value = found.with_context(|| format!("no {name} in {path}"))?;
        Ok(value.trim_start_matches([':', '\t', ' ']).to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let model = line("/proc/cpuinfo", "model name")?;
    let memory: f64 = line("/proc/meminfo", "MemTotal:")?
        .trim_end_matches(" kB")
        .parse()?;
    let busy = line("/proc/loadavg", "")?;
    let busy = busy.split(' ').next().unwrap_or_default();
    let gib = memory / f64::from(1 << 20);
    Ok(format!(
        "{cores} cores of {model}, {gib:.0} GiB, load average {busy} when it began"
    ))
}

/// Writes results to their files.
pub fn keep(folder: &Path, machine: &str, figures: Vec<Figure>) -> anyhow::Result<()> {
    for mut figure in figures {
        machine.clone_into(&mut figure.machine);
        let path = folder.join(format!("{}.json", figure.name));
        let text = serde_json::to_string_pretty(&figure)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// `1,234,567.8` for large values, more digits for small ones.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = match text.split_once('.') {
        Some((whole, rest)) => (whole, format!(".{rest}")),
        None => (text.as_str(), String::new()),
    };
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

fn spread(values: &[f64]) -> String {
    if values.len() < 2 {
        return number(median(values));
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{} ({} to {})",
        number(median(values)),
        number(least),
        number(most)
    )
}

fn read(folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let figure: Figure = serde_json::from_str(&fs::read_to_string(&path)?)
                .with_context(|| path.display().to_string())?;
            figures.push(figure);
        }
    }
    figures.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(figures)
}

/// Writes README.md of the folder, and shows it.
pub fn write_table(folder: &Path) -> anyhow::Result<()> {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `make bench`: medians, and in brackets the least and the most of all rounds. \
         Ours and the peer's ran in turns, on one machine, against the same servers: one node each of Kafka 4.3.1, Hadoop 3.4.3, \
         Cassandra 5.0.9 and PostgreSQL 15, as docker-compose.yaml sets them up.\n\n\
         | what | ours | beside it | ratio | aim |\n|---|---|---|---|---|\n",
    );
    let figures = read(folder)?;
    for figure in &figures {
        let (beside, ratio) = match &figure.peer {
            Some(peer) => (
                format!("{}: {}", peer.name, spread(&peer.values)),
                number(median(&figure.ours) / median(&peer.values)),
            ),
            None => (String::new(), String::new()),
        };
        writeln!(
            text,
            "| {}, {} | {} | {beside} | {ratio} | {} |",
            figure.what,
            figure.unit,
            spread(&figure.ours),
            figure.aim
        )?;
    }
    text.push_str("\nHow they were obtained:\n\n");
    // figures of one measurement share their explanation
    let mut said = BTreeSet::new();
    for figure in &figures {
        if said.insert(&figure.how) {
            writeln!(
                text,
                "- {}: {}. On {}",
                figure.what, figure.how, figure.machine
            )?;
        }
    }
    fs::write(folder.join("README.md"), &text)?;
    print!("{text}");
    Ok(())
}
