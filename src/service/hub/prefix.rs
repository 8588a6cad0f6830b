//! What trusted proxies say about the client: a PROXY v2 prefix, or forwarding headers.
//!
//! Deliberately absent: parsing (`forwarded`).

use super::{Hub, Key, Turn};
use crate::connection::Stage;
use crate::forwarded::{self, ProxyHeader, ProxyHeaderName};
use crate::refusal::Refusal;
use crate::session::Sid;
use ringway_proto::engineio::Params;
use ringway_proto::http1;
use std::net::IpAddr;

impl Hub {
    pub(crate) fn step_prefix(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        let (Some(http), stage) = connection.http_and_stage() else {
            return false;
        };
        match forwarded::proxy_header(&http.input) {
            ProxyHeader::Incomplete => false,
            ProxyHeader::Absent => {
                *stage = Stage::Head;
                true
            }
            ProxyHeader::Present(length, client) => {
                http.input.drain(..length);
                http.nearest = client.unwrap_or(http.nearest);
                *stage = Stage::Head;
                client.is_none_or(|client| self.is_client(key, client, true, turn))
            }
            ProxyHeader::Malformed => {
                self.stats.refused(Refusal::BadProxyHeader);
                self.close_now(key, turn);
                false
            }
        }
    }

    /// Takes the client's address from the request's headers if the peer is trusted. `false`: the client is refused, and was answered.
    pub(crate) fn believe_proxy(
        &mut self,
        key: Key,
        request: &http1::Request,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(connection) = self.connections.get(key) else {
            return false;
        };
        let http = connection.busy().http.as_deref();
        let http = http.expect("a request came over HTTP");
        let (peer, nearest) = (http.peer, http.nearest);
        let client = IpAddr::from(connection.client);
        if !self.settings.trusted_proxies.contains(peer) {
            return true;
        }
        // A PROXY v2 prefix named the nearest hop already.
        match self.client_behind(nearest, request) {
            Some(found) if found.to_canonical() == client => true,
            Some(found) => {
                let is_new = !self.is_of_session(request);
                self.is_client(key, found, is_new, turn)
            }
            None => {
                self.refuse_http(key, 400, Refusal::BadProxyHeader, turn);
                false
            }
        }
    }

    /// The client's address of the headers that proxies are said to write. `None`: there are two kinds that disagree, one of which a
    /// stranger wrote.
    fn client_behind(&self, nearest: IpAddr, request: &http1::Request) -> Option<IpAddr> {
        let (settings, proxies) = (&self.settings, &self.settings.trusted_proxies);
        let standard: Vec<&str> = request.headers("forwarded").collect();
        let common: Vec<&str> = request.headers("x-forwarded-for").collect();
        let by_standard = || proxies.client(nearest, forwarded::forwarded(&standard).into_iter());
        let by_common = || proxies.client(nearest, forwarded::x_forwarded_for(&common).into_iter());
        match (
            settings.proxy_header,
            standard.is_empty(),
            common.is_empty(),
        ) {
            (ProxyHeaderName::Forwarded, ..) | (ProxyHeaderName::Any, _, true) => {
                Some(by_standard())
            }
            (ProxyHeaderName::XForwardedFor, ..) | (ProxyHeaderName::Any, true, _) => {
                Some(by_common())
            }
            (ProxyHeaderName::Any, ..) => {
                Some(by_standard()).filter(|client| *client == by_common())
            }
        }
    }

    /// Whether the request belongs to a session, here or on the shard to which it will move. Proxies open a connection for each request of a
    /// polling client, and no client may run out of new ones for that.
    fn is_of_session(&self, request: &http1::Request) -> bool {
        let params = Params::parse(request).ok();
        let sid = params.and_then(|params| Sid::parse(params.sid.as_deref()?));
        sid.is_some_and(|sid| {
            sid.shard(self.shards) != self.shard || self.by_sid.find(&sid, &self.sessions).is_some()
        })
    }

    /// The connection's client is known now, and is counted in place of the one before. A proxy that speaks for itself is not.
    fn is_client(&mut self, key: Key, client: IpAddr, is_new: bool, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        connection.client = client.into();
        self.limits.disconnect(connection.place.take());
        if self.settings.dev || self.settings.trusted_proxies.contains(client) {
            return true;
        }
        let place = match is_new {
            true => self.limits.connect(turn.now, client),
            false => self.limits.connect_again(turn.now, client),
        };
        match place {
            Ok(place) => {
                connection.place = Some(place);
                true
            }
            Err(refusal) => {
                self.refuse_http(key, 429, refusal, turn);
                false
            }
        }
    }
}
