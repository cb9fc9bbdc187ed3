//! Listening, one request a connection, until it is time to end.

use std::convert::Infallible;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as PlainStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use frame::{Outcome, PersonNeeded, Stop};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::create::Policy;
use crate::engine::Engine;
use crate::gate::{CLIENT_PATIENCE, Gate};
use crate::options::Options;

/// Connections at once. A job takes three.
const MAX_CONNECTIONS: usize = 128;

/// Memory for the head of a request: filters are in it.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Its owner and its group may connect.
const SOCKET_MODE: u32 = 0o660;

pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    if options.check {
        check(&options.listen)?;
        return Outcome::done(json!({}));
    }
    let gate = Arc::new(Gate {
        engine: Engine {
            socket: options.engine.clone(),
        },
        policy: Policy {
            images: options
                .jobs
                .iter()
                .map(|job| format!("ecomm-pipeline/{job}:{}", options.tag))
                .collect(),
            network: options.network.clone(),
            max_memory_bytes: options.max_memory_mib << 20,
        },
        passed: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = listen(&options.listen)?;
        log::info!("listening at {}", options.listen.display());
        serve(&listener, &gate, stop).await
    })?;
    Outcome::done(json!({
        "passed": gate.passed.load(Ordering::Relaxed),
        "refused": gate.refused.load(Ordering::Relaxed),
    }))
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let advice = || {
        PersonNeeded(format!(
            "cannot listen at {}: make its folder writable, or mend SOCKET_PROXY_LISTEN",
            path.display()
        ))
    };
    // what a proxy before this one has left
    if let Err(failure) = std::fs::remove_file(path)
        && failure.kind() != std::io::ErrorKind::NotFound
    {
        return Err(failure).with_context(advice);
    }
    let listener = UnixListener::bind(path).with_context(advice)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE)).with_context(advice)?;
    Ok(listener)
}

async fn serve(listener: &UnixListener, gate: &Arc<Gate>, stop: &Stop) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while !stop.is_set() {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await?;
            anyhow::Ok((listener.accept().await?.0, place))
        };
        // now and then it is time to look at `stop`
        let Ok(accepted) = tokio::time::timeout(Duration::from_millis(200), next).await else {
            continue;
        };
        let (stream, place) = accepted.context("no more connections")?;
        tokio::spawn(converse(stream, Arc::clone(gate), place));
    }
    Ok(())
}

async fn converse(stream: UnixStream, gate: Arc<Gate>, place: OwnedSemaphorePermit) {
    let _place = place;
    let answer = service_fn(|request: Request<Incoming>| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(gate.answer(request).await) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_PATIENCE)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades()
        .await;
    if let Err(failure) = served {
        // hyper has answered 400, or the client is gone
        if failure.is_parse() || failure.is_timeout() {
            gate.refused.fetch_add(1, Ordering::Relaxed);
            log::warn!("refused with 400: no request that HTTP knows: {failure}");
        } else {
            log::debug!("a connection ended early: {failure}");
        }
    }
}

/// Asks the running proxy whether the engine answers.
fn check(path: &Path) -> anyhow::Result<()> {
    let patience = Some(Duration::from_secs(3));
    let mut stream = PlainStream::connect(path)?;
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: proxy\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    ensure!(
        status.contains(" 200 "),
        "the engine does not answer: {status}"
    );
    Ok(())
}
