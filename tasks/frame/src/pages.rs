//! What a task shows over HTTP: pages of text, made anew for each request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

type Make = Arc<dyn Fn() -> (u16, String) + Send + Sync>;

struct Page {
    content_type: &'static str,
    make: Make,
}

static PAGES: Mutex<BTreeMap<&'static str, Page>> = Mutex::new(BTreeMap::new());

/// Shows a page where the task listens (`--metrics-listen`). `make` gives status and text; it is
/// called on the server's own thread and must not wait for anything.
pub fn page(
    path: &'static str,
    content_type: &'static str,
    make: impl Fn() -> (u16, String) + Send + Sync + 'static,
) {
    let make: Make = Arc::new(make);
    let mut pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    pages.insert(path, Page { content_type, make });
}

/// Serves the pages until the process ends.
pub(crate) fn listen(address: SocketAddr) -> anyhow::Result<()> {
    let advice = || {
        crate::PersonNeeded(format!(
            "cannot listen on {address}: is the port taken? Mend METRICS_LISTEN"
        ))
    };
    let listener = std::net::TcpListener::bind(address).with_context(advice)?;
    listener.set_nonblocking(true)?;
    page("/healthz", "text/plain", || (200, "ok\n".to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    std::thread::Builder::new()
        .name("pages".to_owned())
        .spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, Router::new().fallback(show)).await
            });
            if let Err(failure) = served {
                log::error!("no more pages on {address}: {failure}");
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}

async fn show(uri: Uri) -> Response {
    let found = PAGES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(uri.path())
        .map(|page| (page.content_type, Arc::clone(&page.make)));
    let Some((content_type, make)) = found else {
        return (StatusCode::NOT_FOUND, "no such page\n").into_response();
    };
    let (status, text) = make();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // a page brings all it needs with it
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self'; img-src data:",
        ),
    ];
    (status, headers, text).into_response()
}
