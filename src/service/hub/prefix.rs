//! What trusted proxies say about the client: a PROXY v2 prefix, or forwarding headers.
//!
//! Deliberately absent: parsing (`forwarded`).

use super::{Hub, Key, Turn};
use crate::connection::{Reply, Stage};
use crate::forwarded::{self, ProxyHeader};
use crate::refusal::Refusal;
use ringway_proto::http1;
use std::net::IpAddr;

impl Hub {
    pub(crate) fn step_prefix(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        match forwarded::proxy_header(&connection.input) {
            ProxyHeader::Incomplete => false,
            ProxyHeader::Absent => {
                connection.stage = Stage::Head;
                true
            }
            ProxyHeader::Present(length, client) => {
                connection.input.drain(..length);
                connection.stage = Stage::Head;
                connection.nearest = client.unwrap_or(connection.nearest);
                client.is_none_or(|client| self.is_client(key, client, turn))
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
        let (peer, nearest) = (connection.peer.ip(), connection.nearest);
        let client = connection.client;
        if !self.settings.trusted_proxies.contains(peer) {
            return true;
        }
        let standard: Vec<&str> = request.headers("forwarded").collect();
        let common: Vec<&str> = request.headers("x-forwarded-for").collect();
        let hops = if standard.is_empty() {
            forwarded::x_forwarded_for(&common)
        } else {
            forwarded::forwarded(&standard)
        };
        // A PROXY v2 prefix named the nearest hop already.
        let found = self
            .settings
            .trusted_proxies
            .client(nearest, hops.into_iter());
        found == client || self.is_client(key, found, turn)
    }

    /// The connection's client is known now, and is counted in place of the one before. A proxy that speaks for itself is not.
    fn is_client(&mut self, key: Key, client: IpAddr, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        connection.client = client;
        self.limits.disconnect(connection.place.take());
        if self.settings.dev || self.settings.trusted_proxies.contains(client) {
            return true;
        }
        match self.limits.connect(turn.now, client) {
            Ok(place) => {
                connection.place = Some(place);
                true
            }
            Err(refusal) => {
                self.respond_refusal(
                    key,
                    429,
                    refusal,
                    &Reply {
                        keep_alive: false,
                        origin: None,
                    },
                    turn,
                );
                false
            }
        }
    }
}
