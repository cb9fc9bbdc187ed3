//! The servers of the stack as containers: paused and killed in tests of faults.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::{network, wait_until};

/// Runs a docker command; what it printed.
pub fn docker(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker").args(words).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {words:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A service of the stack.
pub struct Server {
    container: String,
}

/// A server that stands still. It goes on when this is dropped.
pub struct Paused<'a>(&'a Server);

impl Server {
    /// The container of a service.
    pub fn of(service: &str) -> anyhow::Result<Server> {
        let project = format!("label=com.docker.compose.project={}", network());
        let service_label = format!("label=com.docker.compose.service={service}");
        let container = docker(&[
            "ps",
            "--quiet",
            "--filter",
            &project,
            "--filter",
            &service_label,
        ])?;
        let container = container.lines().next().context(service.to_owned())?;
        Ok(Server {
            container: container.to_owned(),
        })
    }

    /// Lets it stand still, as an overloaded or frozen machine would.
    pub fn pause(&self) -> anyhow::Result<Paused<'_>> {
        docker(&["pause", &self.container])?;
        Ok(Paused(self))
    }

    /// Kills it without a word and starts it again; waits until it is healthy.
    pub fn kill_and_start(&self) -> anyhow::Result<()> {
        docker(&["kill", &self.container])?;
        docker(&["start", &self.container])?;
        wait_until("the server is healthy", || {
            let format = "{{.State.Health.Status}}";
            Ok(docker(&["inspect", "--format", format, &self.container])? == "healthy")
        })
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["unpause", &self.0.container]) {
            eprintln!("{} stays paused: {failure:#}", self.0.container);
        }
    }
}
