//! A request's way: read, checked, written anew, sent; or refused with one line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};

use crate::create::{MAX_BODY_BYTES, Policy};
use crate::engine::{Engine, Found, Job};
use crate::request::{self, ATTACH, Action, Call, INSPECT, Refusal};

/// How long a client may take to send a body.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// All that is needed to judge a request, and what became of those before.
pub struct Gate {
    pub engine: Engine,
    pub policy: Policy,
    pub passed: AtomicU64,
    pub refused: AtomicU64,
}

/// Why a request got no answer of the engine's.
enum Failure {
    Refused(Refusal),
    Engine(anyhow::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(failure: anyhow::Error) -> Failure {
        Failure::Engine(failure)
    }
}

impl Gate {
    /// Answers a request, whatever it is.
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        // escaped, so that a path cannot write lines into the log
        let line = format!("{} {:?}", request.method(), request.uri().path());
        match self.pass(request).await {
            Ok(answer) => {
                self.passed.fetch_add(1, Ordering::Relaxed);
                log::debug!("{line}: {}", answer.status());
                answer
            }
            Err(Failure::Refused(Refusal { status, reason })) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                log::warn!("refused with {}: {line}: {reason}", status.as_u16());
                told(status, &format!("refused by socket_proxy: {reason}"))
            }
            Err(Failure::Engine(failure)) => {
                log::warn!("no answer from the engine to {line}: {failure:#}");
                told(
                    StatusCode::BAD_GATEWAY,
                    "no answer from the Docker engine: does it run?",
                )
            }
        }
    }

    async fn pass(&self, mut request: Request<Incoming>) -> Result<Answer, Failure> {
        if request.version() != Version::HTTP_11 {
            return Err(Refusal::malformed("speak HTTP/1.1").into());
        }
        if request.headers().contains_key(TRANSFER_ENCODING) {
            return Err(Refusal::malformed("send a body with Content-Length").into());
        }
        let request::Request { version, call } =
            request::Request::read(request.method(), request.uri())?;
        let upgrade = upgrade_of(&mut request, &call)?;
        let body = request.into_body();
        if call != Call::Create && !body.is_end_stream() {
            return Err(Refusal::malformed("a body where none is wanted").into());
        }
        match call {
            Call::Plain(path) => self.get(&format!("{version}{path}")).await,
            Call::Image(image) => {
                self.policy.allow_image(&image)?;
                let filters = json!({"reference": [image]});
                let path = format!("{version}/images/json");
                self.get(&with_filters(&path, false, &filters)).await
            }
            Call::Jobs { all, mut labels } => {
                let marks = self.policy.marks();
                labels.extend(marks.iter().map(|(key, value)| format!("{key}={value}")));
                let filters = json!({"label": labels});
                let path = format!("{version}/containers/json");
                self.get(&with_filters(&path, all, &filters)).await
            }
            Call::Create => self.create(&version, body).await,
            Call::Job { id, action, query } => match self.engine.job(&id, &self.policy).await?? {
                Found::Not(status, said) => Ok(told(status, &said)),
                Found::Job(job) if action.name == INSPECT => {
                    Ok(json_answer(StatusCode::OK, &job.shown()))
                }
                Found::Job(job) => self.act(&version, &job, action, &query, upgrade).await,
            },
        }
    }

    async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let response = self.engine.send(Method::GET, path, None, false).await?;
        Ok(handed_on(response))
    }

    async fn create(&self, version: &str, body: Incoming) -> Result<Answer, Failure> {
        let whole = Limited::new(body, MAX_BODY_BYTES).collect();
        let body = match tokio::time::timeout(CLIENT_PATIENCE, whole).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                let reason = format!("the body is cut off, or over {MAX_BODY_BYTES} bytes");
                return Err(Refusal::malformed(reason).into());
            }
            Err(_) => return Err(Refusal::malformed("the body did not come").into()),
        };
        let checked = self.policy.check(&body)?;
        let path = format!("{version}/containers/create");
        let response = self
            .engine
            .send(Method::POST, &path, Some(&checked), false)
            .await?;
        log::info!("create {}: {}", checked["Image"], response.status());
        Ok(handed_on(response))
    }

    async fn act(
        &self,
        version: &str,
        job: &Job,
        action: &Action,
        query: &str,
        upgrade: Option<OnUpgrade>,
    ) -> Result<Answer, Failure> {
        let mut path = format!("{version}/containers/{}", job.id);
        for (separator, part) in [('/', action.name), ('?', query)] {
            if !part.is_empty() {
                path.push(separator);
                path.push_str(part);
            }
        }
        let upgraded = upgrade.is_some();
        let mut response = self
            .engine
            .send(action.method.clone(), &path, None, upgraded)
            .await?;
        if action.method != Method::GET {
            let what = if action.name.is_empty() {
                "remove"
            } else {
                action.name
            };
            log::info!("{what} {}: {}", short(&job.id), response.status());
        }
        let Some(client) = upgrade.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS)
        else {
            return Ok(handed_on(response));
        };
        let engine = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(engine), Ok(client)) = (engine.await, client.await) {
                stream_output(engine, client).await;
            }
        });
        let answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            .header(CONTENT_TYPE, "application/vnd.docker.raw-stream")
            .body(empty());
        Ok(answer.map_err(anyhow::Error::from)?)
    }
}

/// The client's side of the raw stream that `attach` becomes; any other call has none.
fn upgrade_of(request: &mut Request<Incoming>, call: &Call) -> Result<Option<OnUpgrade>, Refusal> {
    let attaches = matches!(call, Call::Job { action, .. } if action.name == ATTACH);
    let asked = request
        .headers()
        .get(UPGRADE)
        .map(|value| value.as_bytes().to_ascii_lowercase());
    match (attaches, asked.as_deref()) {
        (false, None) => Ok(None),
        (true, Some(b"tcp")) => Ok(Some(hyper::upgrade::on(request))),
        (true, _) => Err(Refusal::malformed("attach needs Upgrade: tcp")),
        (false, Some(_)) => Err(Refusal::malformed("this call has nothing to upgrade to")),
    }
}

/// Output of the container to the client, until either ends. What the client writes goes nowhere.
async fn stream_output(engine: Upgraded, client: Upgraded) {
    let (mut output, _) = tokio::io::split(TokioIo::new(engine));
    let (mut unread, mut client) = tokio::io::split(TokioIo::new(client));
    let left = tokio::spawn(async move { copy(&mut unread, &mut sink()).await });
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(1), output.read(&mut buffer)).await;
        let length = match read {
            Ok(Ok(length)) if length > 0 => length,
            Ok(_) => break,
            // silence: is anybody still listening?
            Err(_) if left.is_finished() => break,
            Err(_) => continue,
        };
        if client.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    // either may have gone first
    let _ = client.shutdown().await;
    left.abort();
}

/// The engine's answer, with the headers that clients read and no other.
fn handed_on(response: Response<Incoming>) -> Answer {
    const KEPT: [HeaderName; 3] = [
        CONTENT_TYPE,
        HeaderName::from_static("api-version"),
        HeaderName::from_static("ostype"),
    ];
    let (head, body) = response.into_parts();
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = head.status;
    for name in KEPT {
        if let Some(value) = head.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// An answer of the kind that the engine gives.
fn told(status: StatusCode, message: &str) -> Answer {
    json_answer(status, &json!({"message": message}))
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string()));
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    answer
}

fn empty() -> BoxBody<Bytes, hyper::Error> {
    Full::new(Bytes::new())
        .map_err(|never| match never {})
        .boxed()
}

fn with_filters(path: &str, all: bool, filters: &Value) -> String {
    let mut query = form_urlencoded::Serializer::new(format!("{path}?"));
    if all {
        query.append_pair("all", "1");
    }
    query.append_pair("filters", &filters.to_string());
    query.finish()
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
