//! One shard's application: the loop's [`Handler`] on one side, the service's [`Hub`] on the other.
//!
//! Nothing is decided here. Connections, time, mail and commands change their type and go on.

use crate::control::Message;
use crate::disk::DiskLog;
use crate::uploads::StoreRoots;
use crate::{files, uploads};
use core::time::Duration;
use ringway_io::{Frame, JobOutput, Listener, Peer, PoolFull, ShardId};
use ringway_runtime::{
    Cause, Class, Command, Conn, Context, FileOutcome, Handler, MailOutcome, Mesh, Now, Outgoing,
};
use ringway_service::hub::{Frozen, Hub, Output};
use ringway_service::post::{self, Post};
use ringway_service::time::ConnId;
use std::collections::HashMap;

/// The listener by which clients come; by all others come links.
const CLIENTS: Listener = Listener(0);

/// The application of one shard.
pub struct Application {
    hub: Hub,
    outputs: Vec<Output>,
    /// The control thread asked something: it may want to see the numbers of this lap.
    asked: bool,
    /// The daemon's user.
    own_user: Option<u32>,
    /// The roots that it writes to.
    roots: StoreRoots,
    disk: DiskLog,
}

impl Application {
    /// Wraps a hub.
    #[must_use]
    pub fn new(hub: Hub) -> Self {
        Self {
            roots: StoreRoots {
                whole: hub.uploads_root(),
                used_urls: hub.used_urls_root(),
            },
            hub,
            outputs: Vec::new(),
            asked: false,
            own_user: crate::links::own_user().ok(),
            disk: DiskLog::default(),
        }
    }

    /// The hub, for statistics.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Whether the control thread has sent something since the last call.
    pub const fn take_asked(&mut self) -> bool {
        core::mem::replace(&mut self.asked, false)
    }

    /// Gives all that the hub knows away.
    pub fn freeze_all(&mut self) -> Frozen {
        self.hub.freeze_all()
    }

    /// Takes over sessions and their connections, which the loop has adopted under the names in `conns`.
    pub fn thaw(
        &mut self,
        cx: &mut Context<'_>,
        frozen: Frozen,
        conns: &HashMap<(u16, ConnId), ConnId>,
    ) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub
            .thaw(now, frozen, conns, &mut post, cx.entropy, &mut self.outputs);
        self.carry(cx.commands);
    }

    /// Whether a worker of that user may join: of the daemon's own, and of root, who may do everything.
    fn is_trusted(&self, uid: u32) -> bool {
        crate::links::is_trusted(self.own_user, uid)
    }

    /// Carries the hub's outputs over to the loop's commands.
    fn carry(&mut self, commands: &mut Vec<Command>) {
        let roots = self.roots;
        let outputs = self.outputs.drain(..);
        commands.extend(outputs.map(|output| command_of(output, roots)));
    }
}

/// The service's name of a connection.
#[must_use]
pub const fn conn_id(conn: Conn) -> ConnId {
    ConnId::new((conn.generation as u64) << 32 | conn.slot as u64)
}

/// The loop's name of a connection.
#[must_use]
pub const fn conn_of(id: ConnId) -> Conn {
    Conn {
        slot: id.number() as u32,
        generation: (id.number() >> 32) as u32,
    }
}

const fn time_of(now: Now) -> ringway_service::time::Now {
    ringway_service::time::Now {
        monotonic_us: now.monotonic.as_micros() as u64,
        unix_ms: now.unix.as_millis() as u64,
    }
}

fn command_of(output: Output, roots: StoreRoots) -> Command {
    match output {
        Output::Dirty(id) => Command::Dirty(conn_of(id)),
        Output::Urgent(id) => Command::Urgent(conn_of(id)),
        Output::Behind(id) => Command::Behind(conn_of(id)),
        Output::DirtyAt { conn, at_us } => Command::DirtyAt {
            conn: conn_of(conn),
            at: Duration::from_micros(at_us),
        },
        Output::PeerFinished(id) => Command::PeerFinished(conn_of(id)),
        Output::CloseAfterFlush(id) => Command::CloseAfterFlush(conn_of(id)),
        Output::Close(id) => Command::Close(conn_of(id)),
        Output::Pause(id) => Command::Pause(conn_of(id)),
        Output::Resume(id) => Command::Resume(conn_of(id)),
        Output::Migrate { conn, to } => Command::Migrate {
            conn: conn_of(conn),
            to: ShardId(to),
        },
        Output::Timer { at_us, token } => Command::Timer {
            at: Duration::from_micros(at_us),
            token,
        },
        Output::Compute { token, job } => Command::Compute { token, job },
        Output::Store { token, ask } => Command::File {
            token: uploads::token_of(token, &ask),
            request: Box::new(uploads::request_of(ask, roots)),
        },
        Output::File { token, ask } => Command::File {
            token,
            request: Box::new(files::request_of(ask)),
        },
    }
}

/// The mesh, as the service knows it.
struct MeshPost<'a>(&'a mut Mesh);

impl Post for MeshPost<'_> {
    fn deliver_fits(&mut self, to: u16, bytes: usize) -> bool {
        self.0.deliver_fits(ShardId(to), bytes)
    }

    fn deliver(&mut self, to: u16, parts: &[&[u8]]) -> bool {
        self.0.deliver(ShardId(to), parts).is_ok()
    }

    fn request(&mut self, to: u16, parts: &[&[u8]]) -> bool {
        self.0.request(ShardId(to), parts).is_ok()
    }

    fn request_one_way(&mut self, to: u16, parts: &[&[u8]]) -> bool {
        self.0.request_one_way(ShardId(to), parts).is_ok()
    }

    fn reply(&mut self, to: u16, parts: &[&[u8]]) {
        self.0.reply(ShardId(to), parts);
    }
}

const fn class_of(class: Class) -> post::Class {
    match class {
        Class::Deliver => post::Class::Deliver,
        Class::Reply => post::Class::Reply,
        Class::Request => post::Class::Request,
    }
}

impl Handler for Application {
    type Control = Message;

    fn accepted(&mut self, cx: &mut Context<'_>, conn: Conn, listener: Listener, peer: Peer) {
        match peer {
            Peer::Inet(peer) if listener == CLIENTS => {
                let (now, conn) = (time_of(cx.now), conn_id(conn));
                self.hub.accepted(now, conn, peer, &mut self.outputs);
            }
            Peer::Unix { uid, .. } if !self.is_trusted(uid) => {
                self.hub.link_of_another_user();
                tracing::warn!(
                    code = "RW-2610",
                    uid,
                    "a link of another user was closed: workers run as the daemon's own"
                );
                cx.commands.push(Command::Close(conn));
            }
            Peer::Inet(_) | Peer::Unix { .. } => {
                let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
                let (conn, peer) = (conn_id(conn), crate::links::peer_of(peer));
                let (entropy, outputs) = (&mut *cx.entropy, &mut self.outputs);
                self.hub
                    .link_accepted(now, conn, &peer, &mut post, entropy, outputs);
            }
        }
        self.carry(cx.commands);
    }

    fn received(&mut self, cx: &mut Context<'_>, conn: Conn, bytes: &mut [u8]) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub.received(
            now,
            conn_id(conn),
            bytes,
            &mut post,
            cx.entropy,
            &mut self.outputs,
        );
        self.carry(cx.commands);
    }

    fn finished(&mut self, cx: &mut Context<'_>, conn: Conn) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub
            .finished(now, conn_id(conn), &mut post, cx.entropy, &mut self.outputs);
        self.carry(cx.commands);
    }

    fn next_send(&mut self, now: Now, conn: Conn) -> Option<Outgoing> {
        let id = conn_id(conn);
        if let Some(bytes) = self.hub.next_send(time_of(now), id) {
            let frame = Frame::from(bytes);
            return Some(match self.hub.has_piece(id) {
                true => Outgoing::Head(frame),
                false => Outgoing::Frame(frame),
            });
        }
        let piece = self.hub.next_piece(id)?;
        Some(Outgoing::File(Box::new(files::piece_of(piece))))
    }

    fn is_answering(&self, conn: Conn) -> bool {
        self.hub.is_answering(conn_id(conn))
    }

    fn is_timing(&self, conn: Conn) -> bool {
        self.hub.is_timing(conn_id(conn))
    }

    fn sent(&mut self, cx: &mut Context<'_>, conn: Conn) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub
            .sent(now, conn_id(conn), &mut post, cx.entropy, &mut self.outputs);
        self.carry(cx.commands);
    }

    fn closed(&mut self, cx: &mut Context<'_>, conn: Conn, _cause: Cause) {
        self.hub.closed(
            time_of(cx.now),
            conn_id(conn),
            &mut MeshPost(cx.mesh),
            cx.entropy,
            &mut self.outputs,
        );
        self.carry(cx.commands);
    }

    fn freeze(&mut self, _now: Now, conn: Conn) -> Vec<u8> {
        self.hub.freeze(conn_id(conn))
    }

    fn arrived(&mut self, cx: &mut Context<'_>, conn: Conn, state: &[u8]) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub.arrived(
            now,
            conn_id(conn),
            state,
            &mut post,
            cx.entropy,
            &mut self.outputs,
        );
        self.carry(cx.commands);
    }

    fn mail(
        &mut self,
        cx: &mut Context<'_>,
        from: ShardId,
        class: Class,
        bytes: &[u8],
    ) -> MailOutcome {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        let outcome = self.hub.mail(
            now,
            from.0,
            class_of(class),
            bytes,
            &mut post,
            &mut self.outputs,
        );
        self.carry(cx.commands);
        match outcome {
            post::MailOutcome::Taken => MailOutcome::Taken,
            post::MailOutcome::Wait => MailOutcome::Wait,
        }
    }

    fn deadline(&mut self, cx: &mut Context<'_>, token: u64) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub.has_heard(cx.heard_all);
        self.hub
            .deadline(now, token, &mut post, cx.entropy, &mut self.outputs);
        self.carry(cx.commands);
    }

    fn computed(&mut self, cx: &mut Context<'_>, token: u32, result: Result<JobOutput, PoolFull>) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub.computed(
            now,
            token,
            result.map_err(|PoolFull(job)| job),
            &mut post,
            cx.entropy,
            &mut self.outputs,
        );
        self.carry(cx.commands);
    }

    fn file(&mut self, cx: &mut Context<'_>, token: u64, outcome: FileOutcome) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        if token & uploads::TOKEN != 0 {
            let (token, in_directory) = uploads::asked_under(token);
            let refused = self.disk.look(&outcome, in_directory, cx.now.monotonic);
            if let Some(refused) = refused {
                let (code, error, times) = (refused.code, refused.error, refused.times);
                tracing::warn!(code, error, times, "the disk of uploads refused");
            }
            let answer = uploads::answer_of(outcome);
            let (entropy, outputs) = (&mut *cx.entropy, &mut self.outputs);
            self.hub
                .stored(now, token, answer, &mut post, entropy, outputs);
            return self.carry(cx.commands);
        }
        let answer = files::answer_of(outcome);
        let (entropy, outputs) = (&mut *cx.entropy, &mut self.outputs);
        self.hub
            .file(now, token, answer, &mut post, entropy, outputs);
        self.carry(cx.commands);
    }

    fn control(&mut self, cx: &mut Context<'_>, message: Message) {
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.asked = true;
        match message {
            // Whoever asked may be gone: then nobody needs the answer.
            Message::Ask(query, answer) => {
                let _ = answer.send(self.hub.query(&query));
            }
            Message::Publish(publish, answer) => {
                let parts = (&*publish.namespace, &*publish.room, publish.data.get());
                let outcome = self
                    .hub
                    .publish_from_admin(now, parts, &mut post, &mut self.outputs);
                let _ = answer.send(outcome);
            }
            Message::Reload(settings) => self.hub.reload(&settings),
            Message::Drain { within_us } => {
                cx.commands.push(Command::StopAccepting);
                self.hub
                    .drain(now, now.monotonic_us + within_us, &mut self.outputs);
            }
            Message::Nudge => {}
            Message::Exit => cx.commands.push(Command::Exit),
        }
        self.carry(cx.commands);
    }

    fn lap(&mut self, cx: &mut Context<'_>) {
        self.hub.take_notices().iter().for_each(crate::links::log);
        let (now, mut post) = (time_of(cx.now), MeshPost(cx.mesh));
        self.hub.lap(now, &mut post, cx.entropy, &mut self.outputs);
        self.carry(cx.commands);
    }
}
