//! HTTP/1 on a connection: heads are read one after the other and routed; answers go out in the order of the requests.
//!
//! Deliberately absent: polling and WebSocket sessions, which have their own files.

use super::{Hub, Key, Output, Turn};
use crate::auth::Header;
use crate::connection::{Purpose, Reply, Stage};
use crate::refusal::Refusal;
use ringway_proto::{engineio, http1, ws};

/// What becomes of a request head.
pub(crate) enum Routed {
    /// It was answered or moved the connection to another stage.
    Done,
    /// Another shard owns the session: connection and head go there.
    Elsewhere(u16),
    /// It stays where it is until the application has said whether it may come in.
    Later,
}

impl Hub {
    /// Takes everything that can be understood out of the connection's input.
    pub(crate) fn advance(&mut self, key: Key, turn: &mut Turn<'_>) {
        while self.step(key, turn) {}
        if let Some(connection) = self.connections.get_mut(key) {
            connection.tidy();
            if connection.is_held_back {
                self.let_on(key, turn);
            }
        }
    }

    /// Whether something was taken and more may be possible.
    fn step(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        if connection.closing || connection.input().is_empty() {
            return false;
        }
        match connection.stage {
            Stage::Prefix => self.step_prefix(key, turn),
            // The rest is read when these answers went out.
            Stage::Head if connection.busy().output.len() > super::OUTPUT_BYTES_MAX => false,
            Stage::Head => self.step_head(key, turn),
            Stage::Body(_) => self.step_body(key, turn),
            Stage::Uploading => {
                self.step_upload(key, turn);
                false
            }
            Stage::Socket(_) => {
                let mut bytes = connection.take_input();
                self.feed_socket(key, &mut bytes, turn);
                false
            }
            Stage::Held(_) | Stage::Poll(_) | Stage::Answer { .. } | Stage::Given { .. } => false,
            Stage::Asked | Stage::Opening | Stage::Sending | Stage::Away => false,
        }
    }

    fn step_head(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        let mut input = connection.take_input();
        let (taken, elsewhere) = match self.read_head(&input) {
            Ok(None) => (0, None),
            Ok(Some((request, head_bytes))) => {
                self.stats.http_requests += 1;
                self.clear_deadline(key);
                let routed = self.route(key, &request, turn);
                // It was about this request and no other.
                self.upstream.judged = None;
                match routed {
                    Routed::Done => (head_bytes, None),
                    Routed::Elsewhere(shard) => (0, Some(shard)),
                    Routed::Later => (0, None),
                }
            }
            Err(error) => {
                self.refuse_http(key, error.status(), Refusal::BadRequest, turn);
                (input.len(), None)
            }
        };
        input.drain(..taken);
        let connection = self.connections.get_mut(key);
        if let Some(http) = connection.and_then(|connection| connection.http_mut()) {
            http.input = input;
        }
        if let Some(shard) = elsewhere {
            self.migrate(key, shard, turn);
        }
        taken > 0
    }

    /// The head at the beginning of the input. Bodies of uploads have a bound of their own, and are not collected.
    fn read_head(&self, input: &[u8]) -> Result<Option<(http1::Request, usize)>, http1::HttpError> {
        let bounds = self.settings.http_bounds();
        let any = http1::Bounds {
            body_bytes_max: i64::MAX as u64,
            ..bounds
        };
        let read = http1::parse_head(input, &any)?;
        let fits = |request: &http1::Request| match request.body {
            http1::BodyLength::Exact(bytes) => bytes <= bounds.body_bytes_max,
            http1::BodyLength::Chunked => true,
        };
        match read {
            Some((request, _)) if !fits(&request) && !self.is_upload_path(&request.path) => {
                Err(http1::HttpError::BodyTooLarge)
            }
            read => Ok(read),
        }
    }

    fn migrate(&mut self, key: Key, to: u16, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.stage = Stage::Away;
        let conn = key.conn();
        self.stats.connections_migrated += 1;
        turn.out.push(Output::Migrate { conn, to });
        // It goes when its last answer went: who does not read that may not stay for ever.
        let deadline_us = turn.now.monotonic_us + u64::from(self.settings.head_timeout_ms) * 1000;
        self.set_deadline(key, deadline_us, turn);
    }

    fn route(&mut self, key: Key, request: &http1::Request, turn: &mut Turn<'_>) -> Routed {
        if !self.believe_proxy(key, request, turn) {
            return Routed::Done;
        }
        let path = request.path.as_str();
        if self.wants_bundle(request) {
            return self.route_bundle(key, request, turn);
        }
        if self.is_engine_path(path) {
            return self.route_engine(key, request, crate::session::Application::SocketIo, turn);
        }
        if self.settings.dev && path == "/engine.io/" {
            return self.route_engine(key, request, crate::session::Application::Echo, turn);
        }
        if self.settings.dev
            && matches!(path, "/" | "/ws-echo")
            && request.header("upgrade").is_some()
        {
            self.open_echo(key, request, turn);
            return Routed::Done;
        }
        if self.is_upload_path(path) {
            return self.route_upload(key, request, turn);
        }
        if self.is_file_path(path) {
            return self.route_file(key, request, turn);
        }
        self.serve_asset(key, request, turn);
        Routed::Done
    }

    /// engine.io looks at the beginning alone: what stands behind its path is the client's affair.
    fn is_engine_path(&self, path: &str) -> bool {
        let own = self.settings.path.trim_end_matches('/');
        let rest = path.strip_prefix(own);
        // One that has the root for itself has nothing below it.
        let is_below = rest.is_some_and(|rest| match rest {
            "" | "/" => true,
            rest => !own.is_empty() && rest.starts_with('/'),
        });
        // A path that climbs is nobody's, whatever it begins with.
        let mut parts = path.as_bytes().split(|byte| *byte == b'/');
        let climbs = parts.any(|part| part == b"..");
        is_below && !climbs && !self.settings.assets.contains_key(path)
    }

    fn serve_asset(&mut self, key: Key, request: &http1::Request, turn: &mut Turn<'_>) {
        let reply = self.reply_to(request);
        let readable = matches!(request.method.as_str(), "GET" | "HEAD");
        let settings = self.settings.clone();
        match settings.assets.get(request.path.as_str()) {
            Some(asset) if readable => {
                self.respond(key, 200, &asset.content_type, &asset.bytes, &reply, turn);
            }
            Some(_) => self.respond_refusal(key, 405, Refusal::BadRequest, &reply, turn),
            None => self.respond_refusal(key, 404, Refusal::NotFound, &reply, turn),
        }
    }

    /// What the answer to `request` must repeat of it.
    pub(crate) fn reply_to(&self, request: &http1::Request) -> Reply {
        // A body that nobody reads would be taken for the next request: the connection ends instead. Whoever reads it says so.
        Reply {
            keep_alive: request.keeps_alive() && !request.has_body(),
            head: request.method.as_str() == "HEAD",
            headers: self.origin_headers(request),
        }
    }

    /// Answers; closes behind the answer if the request or the answer says so.
    pub(crate) fn respond(
        &mut self,
        key: Key,
        status: u16,
        content_type: &str,
        body: &[u8],
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        let keep_alive = reply.keep_alive && !self.drain_told_everybody();
        let response = response_of(status, content_type, body, reply, keep_alive);
        self.send_answer(key, &response, keep_alive, turn);
    }

    /// Sends the bytes of an answer, with its date.
    pub(crate) fn send_answer(
        &mut self,
        key: Key,
        response: &[u8],
        keep_alive: bool,
        turn: &mut Turn<'_>,
    ) {
        let now_us = turn.now.monotonic_us;
        let idle_us = u64::from(self.settings.keep_alive_timeout_ms) * 1000;
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let output = &mut connection.busy_mut().output;
        self.date.append(turn.now, response, output);
        connection.stage = Stage::Head;
        turn.out.push(Output::Dirty(key.conn()));
        if keep_alive {
            self.set_deadline(key, now_us + idle_us, turn);
        } else {
            self.close_after_flush(key, turn);
        }
    }

    /// Answers with the JSON of a refusal.
    pub(crate) fn respond_refusal(
        &mut self,
        key: Key,
        status: u16,
        refusal: Refusal,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refusal);
        let body =
            serde_json::json!({ "code": refusal.code(), "message": refusal.message() }).to_string();
        self.respond(
            key,
            status,
            "application/json",
            body.as_bytes(),
            reply,
            turn,
        );
    }

    /// Answers with one of Engine.IO's own errors, and counts it by its code in the catalogue: clients know the numbers and texts of the
    /// reference server and no others.
    pub(crate) fn respond_engine_error(
        &mut self,
        key: Key,
        error: engineio::EngineError,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        self.stats.refused(refusal_of(error));
        self.respond(
            key,
            engineio::EngineError::STATUS,
            "application/json",
            error.body().as_bytes(),
            reply,
            turn,
        );
    }

    /// Answers a request that cannot be understood, and closes.
    pub(crate) fn refuse_http(
        &mut self,
        key: Key,
        status: u16,
        refusal: Refusal,
        turn: &mut Turn<'_>,
    ) {
        self.respond_refusal(key, status, refusal, &Reply::last(), turn);
    }

    fn open_echo(&mut self, key: Key, request: &http1::Request, turn: &mut Turn<'_>) {
        let reply = self.reply_to(request);
        if self.open_socket(key, request, Purpose::Echo, &reply, turn) {
            self.clear_deadline(key);
        }
    }

    /// Answers 101 and makes the connection a WebSocket; otherwise answers with the error and gives `false`.
    pub(crate) fn open_socket(
        &mut self,
        key: Key,
        request: &http1::Request,
        purpose: Purpose,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) -> bool {
        if !self.origin_allowed(request) {
            self.respond_refusal(key, 403, Refusal::ForeignOrigin, reply, turn);
            return false;
        }
        let upgrade = match ws::Upgrade::parse(request) {
            Ok(upgrade) => upgrade,
            Err(error) => {
                self.respond_refusal(key, error.status(), Refusal::BadUpgrade, reply, turn);
                return false;
            }
        };
        let offers = Some(&upgrade.extensions).filter(|_| self.settings.deflate);
        let agreed = offers.and_then(|offers| ws::deflate::negotiate(offers));
        let answer = agreed.map(|agreed| agreed.answer());
        let response = upgrade.response(answer.as_deref(), &reply.headers);
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        let output = &mut connection.busy_mut().output;
        match output.is_empty() {
            true => *output = response,
            false => output.extend_from_slice(&response),
        }
        let socket = crate::connection::Socket {
            inflates: agreed.is_some(),
            deflate: agreed.is_some_and(|agreed| agreed.compresses()),
            purpose,
        };
        connection.stage = Stage::Socket(socket);
        turn.out.push(Output::Dirty(key.conn()));
        true
    }
}

const fn refusal_of(error: engineio::EngineError) -> Refusal {
    use engineio::EngineError;
    match error {
        EngineError::UnknownTransport => Refusal::UnknownTransport,
        EngineError::UnknownSid => Refusal::UnknownSid,
        EngineError::BadHandshakeMethod => Refusal::HandshakeMethod,
        EngineError::BadRequest => Refusal::EngineRequest,
        EngineError::UnsupportedProtocolVersion => Refusal::EngineVersion,
    }
}

pub(crate) fn response_of(
    status: u16,
    content_type: &str,
    body: &[u8],
    reply: &Reply,
    keep_alive: bool,
) -> Vec<u8> {
    let mut response = http1::Response::new(status);
    if !content_type.is_empty() {
        response = response.header("Content-Type", content_type);
    }
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    if status == 426 {
        // RFC 6455 §4.4.
        response = response.header("Sec-WebSocket-Version", "13");
    }
    // RFC 9110 §15.4.5: what a 304 says holds for what is kept.
    let is_said = |(name, _): &Header| name.eq_ignore_ascii_case("cache-control");
    if status != 304 && !reply.headers.iter().any(is_said) {
        response = response.header("Cache-Control", "no-store");
    }
    if reply.head {
        response.without_body(body.len(), keep_alive)
    } else {
        response.body(body, keep_alive)
    }
}

/// The answer to a browser's question whether it may.
pub(crate) fn preflight_of(headers: &[Header], keep_alive: bool) -> Vec<u8> {
    let mut response = http1::Response::new(204);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(b"", keep_alive)
}
