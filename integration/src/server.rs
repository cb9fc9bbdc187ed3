//! The servers of the stack as containers: paused, killed and started again in tests of faults.

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

/// A server that is dead. It is started again when this is dropped.
pub struct Killed<'a>(&'a Server);

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

    /// A container that a test has started itself.
    pub fn named(container: &str) -> Server {
        Server {
            container: container.to_owned(),
        }
    }

    /// Lets it stand still, as an overloaded or frozen machine would.
    pub fn pause(&self) -> anyhow::Result<Paused<'_>> {
        // cgroup v1 freezes a process only when none of its threads waits for a disk: runc tries for
        // a moment, thaws it again and leaves another try to its caller
        wait_until("the server stands still", || {
            match docker(&["pause", &self.container]) {
                Err(failure) if failure.to_string().contains("unable to freeze") => Ok(false),
                paused => paused.map(|_| true),
            }
        })?;
        ensure!(self.state("Status")? == "paused", "it is not paused");
        Ok(Paused(self))
    }

    /// Kills it without a word.
    pub fn kill(&self) -> anyhow::Result<Killed<'_>> {
        docker(&["kill", &self.container])?;
        let killed = Killed(self);
        ensure!(self.state("Running")? == "false", "it is not dead");
        Ok(killed)
    }

    /// Kills it without a word and starts it again; waits until it is healthy.
    pub fn kill_and_start(&self) -> anyhow::Result<()> {
        drop(self.kill()?);
        self.wait_until_healthy()
    }

    /// Waits until its health check says so.
    pub fn wait_until_healthy(&self) -> anyhow::Result<()> {
        wait_until("the server is healthy", || {
            Ok(self.state("Health.Status")? == "healthy")
        })
    }

    /// Its address in the stack's network.
    pub fn address(&self) -> anyhow::Result<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let found = docker(&["inspect", "--format", format, &self.container])?;
        let first = found.split_whitespace().next();
        Ok(first.context("no address")?.to_owned())
    }

    /// Runs a command in it; what it printed.
    pub fn exec(&self, words: &[&str]) -> anyhow::Result<String> {
        docker(&[&["exec", self.container.as_str()], words].concat())
    }

    fn state(&self, field: &str) -> anyhow::Result<String> {
        let format = format!("{{{{.State.{field}}}}}");
        docker(&["inspect", "--format", &format, &self.container])
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["unpause", &self.0.container]) {
            eprintln!("{} stays paused: {failure:#}", self.0.container);
        }
    }
}

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        if let Err(failure) = docker(&["start", &self.0.container]) {
            eprintln!("{} stays dead: {failure:#}", self.0.container);
        }
    }
}
