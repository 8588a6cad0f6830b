//! The operator's HTTP port, on the control thread: health, metrics, queries, publish.
//!
//! Liveness depends on nothing but this thread; readiness on the shards having started and no drain being under way.

use crate::control::{ConnectionsCursor, Control, PublishRequest};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ringway_service::rooms::{is_namespace_name, is_room_name};
use serde::Deserialize;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Entries of one answer at most; `after` pages on.
const PAGE_ENTRIES_MAX: usize = 1000;

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
        None => peer.ip().is_loopback() && names_this_host(request.headers()),
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

/// Whether the request's Host is an address or localhost. A page whose own name was made to lead here (DNS rebinding) has that name.
fn names_this_host(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let text = content_type.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
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
    limit: Option<usize>,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
}

impl Page {
    fn limit(&self) -> usize {
        let limit = self.limit.unwrap_or(PAGE_ENTRIES_MAX);
        limit.clamp(1, PAGE_ENTRIES_MAX)
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("/")
    }
}

async fn connections(State(control): State<Arc<Control>>, Query(page): Query<Page>) -> Response {
    let after = page.after.as_deref().map(ConnectionsCursor::parse);
    if after == Some(None) {
        return bad_cursor();
    }
    Json(control.connections(after.flatten(), page.limit()).await).into_response()
}

async fn rooms(State(control): State<Arc<Control>>, Query(page): Query<Page>) -> Response {
    // A namespace has no comma: it ends where a packet's does.
    let split = |after: &str| {
        let (namespace, room) = after.split_once(',')?;
        Some((namespace.to_owned(), room.to_owned()))
    };
    let after = page.after.as_deref().map(split);
    if after == Some(None) {
        return bad_cursor();
    }
    Json(control.rooms(after.flatten(), page.limit()).await).into_response()
}

fn bad_cursor() -> Response {
    let message = "after is the next of an earlier answer";
    refuse(StatusCode::BAD_REQUEST, "RW-2505", message)
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

async fn publish(State(control): State<Arc<Control>>, headers: HeaderMap, body: Bytes) -> Response {
    // A page in the operator's browser can send text to this port without being asked for permission, but not JSON.
    if !is_json(&headers) {
        let message = "the message is sent as application/json";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "RW-2503", message);
    }
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
    fn only_this_hosts_own_names_are_this_host() {
        for (host, expected) in [
            ("127.0.0.1:7301", true),
            ("[::1]:7301", true),
            ("localhost:7301", true),
            ("LOCALHOST", true),
            ("evil.example:7301", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(names_this_host(&headers), expected, "{host}");
        }
        assert!(!names_this_host(&HeaderMap::new()));
    }

    #[test]
    fn json_is_what_says_so() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("text/plain; application/json", false),
        ] {
            let value = content_type.parse().unwrap();
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
            assert_eq!(is_json(&headers), expected, "{content_type}");
        }
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same_secret("abc", "abc"));
        for other in ["", "abd", "abcd", "ab", "Abc"] {
            assert!(!same_secret(other, "abc"), "{other}");
        }
    }
}
