//! The engine, asked over its socket: one connection for each request.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::create::Policy;
use crate::request::{INSPECT, Refusal};

/// How long the engine may take to say what a container is.
const INSPECT_PATIENCE: Duration = Duration::from_secs(30);

/// The longest description of a container.
const MAX_DESCRIPTION_BYTES: usize = 4 << 20;

/// Where the engine listens.
pub struct Engine {
    pub socket: PathBuf,
}

/// A container of a job: its full id, and what the engine says of it.
pub struct Job {
    pub id: String,
    pub description: Value,
}

/// What came of asking for a container by a name that a client gave.
pub enum Found {
    Job(Job),
    /// The engine knows none, or cannot say: its answer.
    Not(StatusCode, String),
}

impl Engine {
    /// Sends a request that was written here.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        upgrade: bool,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // a client that goes away, or a container that ends, cuts it off
            if let Err(failure) = connection.with_upgrades().await {
                log::debug!("the engine's connection ended: {failure}");
            }
        });
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "engine");
        if upgrade {
            request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
        }
        let body = match body {
            Some(value) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(value.to_string())
            }
            None => Bytes::new(),
        };
        Ok(sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// The container that a client calls `name`, if it is a job's. What is done then is done by its
    /// id, so that a name cannot come to mean another in between.
    pub async fn job(&self, name: &str, policy: &Policy) -> anyhow::Result<Result<Found, Refusal>> {
        let path = format!("/containers/{name}/{INSPECT}");
        let asked = async {
            let response = self.send(Method::GET, &path, None, false).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_DESCRIPTION_BYTES)
                .collect()
                .await
                .map_err(|failure| anyhow::anyhow!("describing a container: {failure}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(INSPECT_PATIENCE, asked).await??;
        let description: Value = serde_json::from_slice(&body)?;
        if status != StatusCode::OK {
            let said = description["message"].as_str().unwrap_or_default();
            return Ok(Ok(Found::Not(status, said.to_owned())));
        }
        let labels = &description["Config"]["Labels"];
        if policy
            .marks()
            .iter()
            .any(|(key, value)| labels[key] != *value)
        {
            return Ok(Err(Refusal::forbidden("the container is no job's")));
        }
        match description["Id"].as_str() {
            Some(id) => Ok(Ok(Found::Job(Job {
                id: id.to_owned(),
                description,
            }))),
            None => anyhow::bail!("the engine gave no id"),
        }
    }
}

impl Job {
    /// What a client may know of it: not its variables, of which some are secrets.
    pub fn shown(&self) -> Value {
        let config = &self.description["Config"];
        let mut shown = serde_json::json!({
            "Config": {"Image": config["Image"], "Labels": config["Labels"], "Cmd": config["Cmd"], "Tty": config["Tty"]},
        });
        for field in ["Id", "Name", "Created", "Image", "State", "RestartCount"] {
            shown[field] = self.description[field].clone();
        }
        shown
    }
}
