//! Requests that the application is asked about before they are obeyed, and those that it hears were refused.
//!
//! A request that waits stays in its connection's input; when it is judged it is read once more, with the verdict at hand. Deliberately absent: who is
//! asked (`upstream/asking`).

use super::http::Routed;
use super::{Hub, Key, Output, Turn};
use crate::connection::{Reply, Stage};
use crate::refusal::Refusal;
use crate::session::{Sid, bucket_of};
use crate::upstream::{
    Admitted, ApplicationOrigins, Asked, Asks, Judged, ToLinks, Unsaid, Verdict,
};
use ringway_proto::engineio::EngineError;
use ringway_proto::http1;
use serde_json::{Map, Value, json};

/// How long a request may wait: longer than whoever is asked lets it, and as a last resort.
const ASKED_US: u64 = 60_000_000;

/// What is known of a request that may have to be judged.
pub(super) enum Judgement {
    /// The application need not be asked.
    Free,
    /// It was, and lets the request in.
    Admitted(Admitted),
    /// It is asked now, or the request was answered.
    Over(Routed),
}

/// The fields of OPEN, HS_REQ and CONN_ERROR that say what a request is.
pub(super) fn head_of(request: &http1::Request) -> Map<String, Value> {
    let headers: Vec<(&str, &str)> = request.all_headers().collect();
    let url = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let head = json!({ "method": request.method, "url": url, "headers": headers });
    match head {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made as one"),
    }
}

impl Hub {
    /// Whether preflights are the application's to answer.
    pub(super) fn asks_about_preflights(&self) -> bool {
        let binding = &self.upstream.binding;
        binding.asks != Asks::None && binding.origins == ApplicationOrigins::Asked
    }

    /// Judges a request that opens a session; `is_new`, or is of one.
    pub(super) fn judge(
        &mut self,
        key: Key,
        request: &http1::Request,
        is_new: bool,
        turn: &mut Turn<'_>,
    ) -> Judgement {
        if let Some(verdict) = self.take_verdict(key) {
            return self.hear_verdict(key, verdict, request, turn);
        }
        let is_asked = match self.upstream.binding.asks {
            Asks::None => false,
            Asks::Handshake => is_new,
            Asks::Every => true,
        };
        if !is_asked || self.draining() {
            return Judgement::Free;
        }
        let sid = is_new.then(|| self.new_sid(turn));
        Judgement::Over(self.ask(key, request, sid, turn))
    }

    pub(super) fn take_verdict(&mut self, key: Key) -> Option<Verdict> {
        let judged = self.upstream.judged.take_if(|judged| judged.key == key)?;
        Some(judged.verdict)
    }

    fn hear_verdict(
        &mut self,
        key: Key,
        verdict: Verdict,
        request: &http1::Request,
        turn: &mut Turn<'_>,
    ) -> Judgement {
        let mut reply = self.reply_to(request);
        match verdict {
            Verdict::Admitted(admitted) if self.is_told_origin(request, &admitted) => {
                return Judgement::Admitted(admitted);
            }
            Verdict::Admitted(_) => {
                self.respond_refusal(key, 403, Refusal::ForeignOrigin, &reply, turn);
            }
            Verdict::Refused {
                status,
                headers,
                body,
            } => {
                self.stats.refused(Refusal::NotAdmitted);
                reply.headers.extend(headers);
                self.respond(key, status, "", body.as_bytes(), &reply, turn);
            }
            Verdict::Failed(refusal) => self.respond_refusal(key, 503, refusal, &reply, turn),
        }
        Judgement::Over(Routed::Done)
    }

    /// A page that the application's own rules do not name may not have a WebSocket either, which browsers let it have.
    fn is_told_origin(&self, request: &http1::Request, admitted: &Admitted) -> bool {
        let Some(origin) = request.header("origin") else {
            return true;
        };
        let is_asked = self.upstream.binding.origins == ApplicationOrigins::Asked;
        let origins = &self.settings.origins;
        let names = |name: &str, value: &str| {
            let is_it = name.eq_ignore_ascii_case("access-control-allow-origin");
            is_it && (value == "*" || value == origin)
        };
        !is_asked
            || origins.allows(origin, request.header("host"))
            || admitted
                .headers
                .iter()
                .any(|(name, value)| names(name, value))
    }

    pub(super) fn new_sid(&self, turn: &mut Turn<'_>) -> Sid {
        let bucket = bucket_of(self.shard, self.shards, (turn.entropy)());
        let random = [(turn.entropy)(), (turn.entropy)()];
        Sid::new(random, self.settings.host, bucket)
    }

    /// Asks about a request, which waits.
    pub(super) fn ask(
        &mut self,
        key: Key,
        request: &http1::Request,
        sid: Option<Sid>,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let Some(connection) = self.connections.get_mut(key) else {
            return Routed::Done;
        };
        let Some(number) = self.upstream.questions.open(Asked { key, sid }) else {
            let reply = self.reply_to(request);
            self.respond_refusal(key, 503, Refusal::Busy, &reply, turn);
            return Routed::Done;
        };
        let affinity = self.settings.upstream.as_ref();
        let affinity = affinity.and_then(|settings| {
            let address = connection.client;
            settings.affinity.value(request, address)
        });
        let mut head = head_of(request);
        head.insert("address".into(), connection.client.to_string().into());
        head.insert("secure".into(), false.into());
        head.extend(sid.map(|sid| ("sid".into(), sid.text().into())));
        connection.stage = Stage::Asked;
        if request.has_body() {
            connection.paused = true;
            turn.out.push(Output::Pause(key.conn()));
        }
        self.set_deadline(key, turn.now.monotonic_us + ASKED_US, turn);
        let json = Value::Object(head).to_string();
        self.pose((number, affinity, json.into()), turn);
        Routed::Later
    }

    /// Says a question, now or when there is ring space.
    fn pose(&mut self, question: Unsaid, turn: &mut Turn<'_>) {
        self.upstream.questions.unsaid.push_back(question);
        self.say_questions(turn);
    }

    /// Says what waits, as far as there is ring space.
    fn say_questions(&mut self, turn: &mut Turn<'_>) {
        let shard = self.shard;
        while let Some((question, affinity, json)) = self.upstream.questions.unsaid.pop_front() {
            let mail = ToLinks::Ask {
                shard,
                question,
                affinity,
                json: &json,
            };
            if !self.say_to_links(&mail, turn) {
                let unsaid = (question, affinity, json);
                self.upstream.questions.unsaid.push_front(unsaid);
                return;
            }
        }
    }

    /// Once per lap: questions that found no ring space, and what was heard of others.
    pub(super) fn settle_questions(&mut self, turn: &mut Turn<'_>) {
        self.say_questions(turn);
        for judged in self.upstream.questions.take_heard() {
            self.go_on(judged, turn);
        }
    }

    /// A request was judged: it is read again.
    fn go_on(&mut self, judged: Judged, turn: &mut Turn<'_>) {
        let key = judged.key;
        let connection = self.connections.get_mut(key);
        let connection = connection.filter(|connection| !connection.closing);
        let Some(connection) = connection.filter(|it| matches!(it.stage, Stage::Asked)) else {
            return;
        };
        connection.stage = Stage::Head;
        if core::mem::take(&mut connection.paused) {
            turn.out.push(Output::Resume(key.conn()));
        }
        self.upstream.judged = Some(judged);
        self.advance(key, turn);
        self.upstream.judged = None;
        self.count_input(key, turn);
    }

    /// Answers with one of Engine.IO's own errors, of which the application hears if it wants to.
    pub(super) fn respond_error(
        &mut self,
        key: Key,
        error: EngineError,
        request: &http1::Request,
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        self.respond_engine_error(key, error, reply, turn);
        if !self.upstream.binding.hears_errors {
            return;
        }
        let mut said = head_of(request);
        let body = serde_json::from_str(error.body());
        let body: Map<String, Value> = body.expect("it is an object of ours");
        said.extend(body);
        said.insert("context".into(), context_of(error, request));
        // One that finds no ring space is one of very many.
        let json = Value::Object(said).to_string();
        self.say_to_links(&ToLinks::Refused { json: &json }, turn);
    }
}

/// What Engine.IO says of an error beside its name.
fn context_of(error: EngineError, request: &http1::Request) -> Value {
    let named = |name: &str| match request.parameter(name) {
        Some(value) => json!({ name: value }),
        None => json!({}),
    };
    match error {
        EngineError::UnknownTransport => named("transport"),
        EngineError::UnknownSid => named("sid"),
        EngineError::BadHandshakeMethod => json!({ "method": request.method }),
        EngineError::BadRequest => {
            json!({ "name": "TRANSPORT_MISMATCH", "transport": request.parameter("transport") })
        }
        EngineError::UnsupportedProtocolVersion => {
            let version = request.parameter("EIO");
            let version = version.and_then(|text| text.parse::<u32>().ok());
            json!({ "protocol": version.unwrap_or(3) })
        }
    }
}
