//! The operator's HTTP port, on the control thread: health, metrics, queries, publish.
//!
//! Liveness depends on nothing but this thread; readiness on the shards having started and no drain being under way.

use crate::control::{Control, PublishRequest};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ringway_service::rooms::{is_namespace_name, is_room_name};
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

/// Entries of one answer at most; `after` pages on.
const PAGE_ENTRIES_MAX: u32 = 1000;

/// The routes. `token` guards `/api/v1`; without one only loopback peers may use it.
pub fn router(control: Arc<Control>, token: Option<Arc<str>>) -> Router {
    let api = Router::new()
        .route("/connections", get(connections))
        .route("/rooms", get(rooms))
        .route("/rooms/{name}", get(room))
        .route("/publish", post(publish))
        .layer(axum::extract::DefaultBodyLimit::max(
            control.publish_bytes_max(),
        ))
        .layer(axum::middleware::from_fn(
            move |peer: ConnectInfo<SocketAddr>, request: Request, next: Next| {
                guard(token.clone(), peer.0, request, next)
            },
        ));
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .nest("/api/v1", api)
        .with_state(control)
}

async fn guard(
    token: Option<Arc<str>>,
    peer: SocketAddr,
    request: Request,
    next: Next,
) -> Response {
    let allowed = match &token {
        Some(token) => bearer(request.headers()).is_some_and(|given| same_secret(given, token)),
        None => peer.ip().is_loopback(),
    };
    if allowed {
        next.run(request).await
    } else {
        refuse(
            StatusCode::UNAUTHORIZED,
            "RW-2501",
            "a bearer token is needed",
        )
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// Compares without telling by its duration where the first difference is.
fn same_secret(given: &str, expected: &str) -> bool {
    given.len() == expected.len()
        && given
            .bytes()
            .zip(expected.bytes())
            .fold(0, |differences, (a, b)| differences | (a ^ b))
            == 0
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    (
        status,
        Json(json!({ "ok": false, "code": code, "message": message })),
    )
        .into_response()
}

async fn ready(State(control): State<Arc<Control>>) -> Response {
    if control.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

async fn metrics(State(control): State<Arc<Control>>) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        control.render_metrics().await,
    )
        .into_response()
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    namespace: Option<String>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX)
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("/")
    }
}

async fn connections(State(control): State<Arc<Control>>, Query(page): Query<Page>) -> Response {
    Json(control.connections(page.limit()).await).into_response()
}

async fn rooms(State(control): State<Arc<Control>>, Query(page): Query<Page>) -> Response {
    Json(control.rooms(page.limit()).await).into_response()
}

async fn room(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Response {
    match control.room(page.namespace(), &name).await {
        Some(answer) => Json(answer).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "RW-2502", "no shard knows this room"),
    }
}

async fn publish(State(control): State<Arc<Control>>, body: Bytes) -> Response {
    let request: PublishRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "RW-2503", &error.to_string()),
    };
    if !is_namespace_name(&request.namespace) || !is_room_name(&request.room) {
        let message = "a name is empty, too long, or has characters that it cannot have";
        return refuse(StatusCode::BAD_REQUEST, "RW-2503", message);
    }
    match control.publish(request).await {
        Ok(answer) => Json(answer).into_response(),
        Err((code, message)) => refuse(StatusCode::SERVICE_UNAVAILABLE, code, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret("abc", "abc"));
        for other in ["", "abd", "abcd", "ab", "Abc"] {
            assert!(!same_secret(other, "abc"), "{other}");
        }
    }
}
