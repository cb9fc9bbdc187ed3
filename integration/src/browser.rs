//! A page as a browser shows it.

use std::process::Command;

use anyhow::{Context, ensure};

/// What became of a page once its scripts had run.
pub struct Shown {
    /// The elements that are there then.
    pub dom: String,
    /// What the browser wrote on its console: errors of scripts, and what could not be fetched.
    pub complaints: Vec<String>,
}

/// Opens a page of `host` in a browser that reaches nobody else: what the page wants from elsewhere is a complaint.
pub fn open_in_a_browser(host: &str, url: &str) -> anyhow::Result<Shown> {
    let profile = std::env::temp_dir().join(format!("browser-{}", uuid::Uuid::new_v4()));
    let nobody_else = format!("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}");
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args([
            &nobody_else,
            &format!("--user-data-dir={}", profile.display()),
        ])
        // until the page has fetched what it shows, by its own clock
        .args([
            "--virtual-time-budget=4000",
            "--enable-logging=stderr",
            "--dump-dom",
            url,
        ])
        .output()
        .context("chromium")?;
    std::fs::remove_dir_all(&profile).with_context(|| profile.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(Shown {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaints: said
            .lines()
            .filter(|line| line.contains("CONSOLE"))
            .map(str::to_owned)
            .collect(),
    })
}
