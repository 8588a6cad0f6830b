//! What the application wants of the daemon, obeyed: its server's options, as far as the operator lets it.
//!
//! Deliberately absent: reading them (`upstream/binding`).

use super::{Hub, Turn};
use crate::auth::Header;
use crate::session::Sid;
use crate::settings::Settings;
use crate::upstream::{ApplicationOrigins, Asks, Binding, ToLinks};
use ringway_proto::engineio::Params;
use ringway_proto::http1;
use std::sync::Arc;

impl Binding {
    /// The operator's settings, with what the application wants. A message of it may be smaller than the operator allows, and not larger.
    fn over(&self, operator: &Settings) -> Settings {
        let payload_bytes_max = self.payload_bytes_max.unwrap_or(u32::MAX);
        Settings {
            path: self.path.clone().unwrap_or_else(|| operator.path.clone()),
            ping_interval_ms: self.ping_interval_ms.unwrap_or(operator.ping_interval_ms),
            ping_timeout_ms: self.ping_timeout_ms.unwrap_or(operator.ping_timeout_ms),
            connect_timeout_ms: self
                .connect_timeout_ms
                .unwrap_or(operator.connect_timeout_ms),
            payload_bytes_max: payload_bytes_max.min(operator.payload_bytes_max),
            ..operator.clone()
        }
    }
}

impl Hub {
    /// The application has said what it wants. Sessions keep the pings that they were told of.
    pub(super) fn bind(&mut self, json: &str) {
        self.upstream.binding = Binding::parse(json);
        let operator = self.upstream.operator.take();
        let operator = operator.unwrap_or_else(|| Arc::clone(&self.settings));
        self.set_operator(operator);
        self.upstream.unsaid_obeyed += 1;
    }

    /// Says how often the application was obeyed, as far as there is ring space.
    pub(super) fn say_obeyed(&mut self, turn: &mut Turn<'_>) {
        while self.upstream.unsaid_obeyed > 0 && self.say_to_links(&ToLinks::Obeyed, turn) {
            self.upstream.unsaid_obeyed -= 1;
        }
    }

    /// The operator has said something new.
    pub(super) fn reload_settings(&mut self, fresh: &Settings) {
        match self.upstream.operator.take() {
            Some(operator) => self.set_operator(Arc::new(operator.reloaded(fresh))),
            None => self.settings = Arc::new(self.settings.reloaded(fresh)),
        }
    }

    fn set_operator(&mut self, operator: Arc<Settings>) {
        self.settings = Arc::new(self.upstream.binding.over(&operator));
        self.upstream.operator = Some(operator);
    }

    /// Whether a browser at the request's origin may talk to us. No origin: no browser. Where the operator names origins the application cannot
    /// add any.
    pub(crate) fn origin_allowed(&self, request: &http1::Request) -> bool {
        let Some(origin) = request.header("origin") else {
            return true;
        };
        let origins = &self.settings.origins;
        let is_free = origins.is_unsaid();
        origins.allows(origin, request.header("host"))
            || match &self.upstream.binding.origins {
                ApplicationOrigins::Unsaid => false,
                ApplicationOrigins::Rules(cors) => is_free && cors.allows(origin),
                // Whoever is not asked allows nobody.
                ApplicationOrigins::Asked => is_free && self.upstream.binding.asks != Asks::None,
            }
    }

    /// What an answer says of origins.
    pub(super) fn origin_headers(&self, request: &http1::Request) -> Vec<Header> {
        match &self.upstream.binding.origins {
            ApplicationOrigins::Unsaid => self.allowed_origin(request),
            ApplicationOrigins::Rules(cors) => cors.answer(request.header("origin")),
            ApplicationOrigins::Asked => Vec::new(),
        }
    }

    fn allowed_origin(&self, request: &http1::Request) -> Vec<Header> {
        let origin = request.header("origin");
        let origin = origin.filter(|_| self.origin_allowed(request));
        let headers = origin.map(|origin| {
            [
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Allow-Credentials", "true"),
                ("Vary", "Origin"),
            ]
        });
        let headers = headers.into_iter().flatten();
        headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// What the answer to a browser's question says, whether it may (Fetch standard, CORS-preflight). Where the application says nothing any header
    /// may be sent: who may come is decided by its origin.
    pub(super) fn preflight_headers(&self, request: &http1::Request) -> Vec<Header> {
        let asked = request.header("access-control-request-headers");
        if let ApplicationOrigins::Rules(cors) = &self.upstream.binding.origins {
            return cors.preflight(request.header("origin"), asked);
        }
        let mut headers = self.allowed_origin(request);
        let Some((_, vary)) = headers.last_mut() else {
            return headers;
        };
        *vary = "Origin, Access-Control-Request-Headers".into();
        let more = [
            ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
            (
                "Access-Control-Allow-Headers",
                asked.unwrap_or("Content-Type"),
            ),
            ("Access-Control-Max-Age", "600"),
        ];
        headers.extend(
            more.into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        headers
    }

    /// Whether the application has the transport that a request is of.
    pub(super) fn has_transport(&self, params: &Params) -> bool {
        let binding = &self.upstream.binding;
        let has = match params.websocket {
            true => binding.has_websocket,
            false => binding.has_polling,
        };
        has.unwrap_or(true)
    }

    /// Whether a polling client may come to have a WebSocket.
    pub(super) fn allows_upgrades(&self) -> bool {
        let binding = &self.upstream.binding;
        binding.allows_upgrades.unwrap_or(true) && binding.has_websocket.unwrap_or(true)
    }

    /// Time for a client that upgrades.
    pub(super) fn upgrade_timeout_ms(&self) -> u32 {
        let said = self.upstream.binding.upgrade_timeout_ms;
        said.unwrap_or(self.settings.connect_timeout_ms)
    }

    /// The cookie with a new session's name.
    pub(super) fn cookie_of(&self, sid: Sid) -> Option<Header> {
        let cookie = self.upstream.binding.cookie.as_ref()?;
        let value = format!("{}={}{}", cookie.name, sid.text(), cookie.attributes);
        Some(("Set-Cookie".into(), value.into()))
    }
}
