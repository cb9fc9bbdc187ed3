//! What a task shows over HTTP.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::wait_until;

/// A task that listens on a port of its own.
pub struct Page {
    /// `127.0.0.1:PORT`, for `--metrics-listen`.
    pub address: String,
    agent: ureq::Agent,
}

impl Page {
    /// A port that is free now.
    pub fn new() -> anyhow::Result<Page> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build();
        Ok(Page {
            address,
            agent: agent.into(),
        })
    }

    /// Status and text of a path.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut answer = self
            .agent
            .get(format!("http://{}{path}", self.address))
            .call()
            .with_context(|| path.to_owned())?;
        Ok((
            answer.status().as_u16(),
            answer.body_mut().read_to_string()?,
        ))
    }

    /// `/status.json`.
    pub fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.get("/status.json")?.1)?)
    }

    /// Waits until the status is as wanted.
    pub fn wait_for(
        &self,
        what: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<()> {
        // at first nobody listens yet
        wait_until(what, || {
            Ok(self.status().is_ok_and(|status| wanted(&status)))
        })
    }
}
