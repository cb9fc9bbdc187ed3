//! Progress: a bar for a person at a terminal, one log line per batch otherwise.

use std::fmt;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use log::info;

/// How far a task is. Counts in its own unit (events, records, files).
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `total` is `None` where there is no end to be seen. `unit` is plural.
    pub fn new(total: Option<u64>, unit: &str) -> Progress {
        let target = ProgressDrawTarget::stderr_with_hz(5);
        if target.is_hidden() {
            return Progress { bar: None };
        }
        let layout = if total.is_some() {
            format!(
                "{{bar:30}} {{human_pos}}/{{human_len}} {unit} {{rate}} ETA {{eta}} {{wide_msg}}"
            )
        } else {
            format!("{{spinner}} {{human_pos}} {unit} {{rate}} {{wide_msg}}")
        };
        let style = ProgressStyle::with_template(&layout)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key(
                "rate",
                |state: &ProgressState, text: &mut dyn fmt::Write| {
                    // a bar that cannot be drawn is no reason to fail
                    let _ = write!(text, "{:.0}/s", state.per_sec());
                },
            );
        let bar = ProgressBar::with_draw_target(total, target).with_style(style);
        Progress { bar: Some(bar) }
    }

    /// One batch is done: `count` more of the unit.
    pub fn batch(&self, count: u64, line: fmt::Arguments<'_>) {
        match &self.bar {
            Some(bar) => {
                bar.inc(count);
                bar.set_message(line.to_string());
            }
            None => info!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
