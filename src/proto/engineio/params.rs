//! What an Engine.IO request says in its query.

use super::EngineError;
use crate::http1::Request;
use std::borrow::Cow;

/// The query's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// The session, unless this opens one.
    pub sid: Option<String>,
    /// Whether the transport is WebSocket; polling otherwise.
    pub websocket: bool,
}

impl Params {
    /// Reads them, with the reference server's errors in its order.
    ///
    /// # Errors
    /// [`EngineError::UnknownTransport`], [`EngineError::UnsupportedProtocolVersion`], [`EngineError::BadRequest`].
    pub fn parse(request: &Request) -> Result<Self, EngineError> {
        let websocket = match request.parameter("transport").as_deref() {
            Some("websocket") => true,
            Some("polling") => false,
            _ => return Err(EngineError::UnknownTransport),
        };
        if request.parameter("EIO").as_deref() != Some("4") {
            return Err(EngineError::UnsupportedProtocolVersion);
        }
        let upgrades = request
            .header("upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
        // A polling request that asks for an upgrade, or the other way round, is neither.
        if upgrades != websocket {
            return Err(EngineError::BadRequest);
        }
        let sid = request.parameter("sid").filter(|sid| !sid.is_empty());
        Ok(Self {
            sid: sid.map(Cow::into_owned),
            websocket,
        })
    }
}
