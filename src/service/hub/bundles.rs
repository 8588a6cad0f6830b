//! The files of Socket.IO's client, which pages load from where their sockets go to: the application has them, and is asked for each.
//!
//! Deliberately absent: what stands in them, and what a browser may keep of them, which the application says as it does on sockets of its own.

use super::bodies::PATIENCE_US_PER_BYTE;
use super::http::{Routed, response_of};
use super::{Hub, Key, Output, Turn};
use crate::connection::{Reply, Stage};
use crate::refusal::Refusal;
use crate::upstream::Verdict;
use ringway_proto::http1;

/// What socket.io serves below its path.
const FILES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];

impl Hub {
    /// Whether the application is to be asked for what the request wants: a file right below its path, whatever the parameters are.
    pub(super) fn wants_bundle(&self, request: &http1::Request) -> bool {
        let (settings, path) = (&self.settings, request.path.as_str());
        let below = path.strip_prefix(settings.path.trim_end_matches('/'));
        let name = below.and_then(|below| below.strip_prefix('/'));
        self.upstream.binding.serves_client
            && matches!(request.method.as_str(), "GET" | "HEAD")
            && name.is_some_and(|name| FILES.contains(&name))
            && !settings.assets.contains_key(path)
    }

    /// Asks for a file or, when the application has answered, gives it. Pages of any origin may have it: it says nothing of anybody.
    pub(super) fn route_bundle(
        &mut self,
        key: Key,
        request: &http1::Request,
        turn: &mut Turn<'_>,
    ) -> Routed {
        let reply = self.reply_to(request);
        match self.take_verdict(key) {
            Some(verdict) => self.answer_bundle(key, verdict, reply, turn),
            None => match self.admit_session(key, false, turn) {
                Ok(()) => return self.ask(key, request, None, turn),
                // It is work for the application as a client is, and memory for this shard.
                Err((status, refusal)) => {
                    self.respond_refusal(key, status, refusal, &reply, turn);
                }
            },
        }
        Routed::Done
    }

    fn answer_bundle(&mut self, key: Key, verdict: Verdict, mut reply: Reply, turn: &mut Turn<'_>) {
        match verdict {
            // What is answered is not let in.
            Verdict::Refused { .. } if self.over_answers() => {
                self.respond_refusal(key, 503, Refusal::ShardFull, &reply, turn);
            }
            Verdict::Refused {
                status,
                headers,
                body,
            } => {
                reply.headers.extend(headers);
                self.send_bundle(key, status, body.as_bytes(), &reply, turn);
            }
            Verdict::Admitted(_) => {
                self.respond_refusal(key, 404, Refusal::NotFound, &reply, turn);
            }
            Verdict::Failed(refusal) => self.respond_refusal(key, 503, refusal, &reply, turn),
        }
    }

    /// Answers with many bytes, which count as queued until they went out.
    fn send_bundle(
        &mut self,
        key: Key,
        status: u16,
        body: &[u8],
        reply: &Reply,
        turn: &mut Turn<'_>,
    ) {
        let keep_alive = reply.keep_alive && !self.drain_told_everybody();
        let response = response_of(status, "", body, reply, keep_alive);
        self.give(key, &response, keep_alive, turn);
    }

    /// Sends an answer of many bytes, with its date, which count as queued until they went out.
    pub(super) fn give(
        &mut self,
        key: Key,
        response: &[u8],
        keep_alive: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let output = &mut connection.busy_mut().output;
        let bytes = self.date.append(turn.now, response, output) as u32;
        connection.stage = Stage::Given { bytes };
        connection.closing |= !keep_alive;
        turn.out.push(Output::Dirty(key.conn()));
        self.queued_bytes += u64::from(bytes);
        self.given_bytes += u64::from(bytes);
        // Who does not read it may not keep it for ever.
        let idle_us = u64::from(self.settings.keep_alive_timeout_ms) * 1000;
        let read_us = u64::from(bytes) * PATIENCE_US_PER_BYTE;
        self.set_deadline(key, turn.now.monotonic_us + idle_us + read_us, turn);
    }
}
