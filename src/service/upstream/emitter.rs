//! Emitters: processes that speak to the application's clients and workers, and serve nobody.
//!
//! They have no clients and no sockets, are nobody's peer, and are told nothing but credit. Deliberately absent: what they and workers may say alike (`obey`).

use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::SpaceId;
use super::obey::SPACE_NAME_BYTES_MAX;
use super::worker::{Worker, WorkerId};
use ringway_proto::link::{Flags, Frame, Hello, Part, Raw};

/// Emitters at a time, those that may come back among them: half of all links, so that workers find a place.
const EMITTERS_MAX: usize = 32;
/// Namespaces to which one speaks.
const NAMES_MAX: usize = 1024;

/// What a process on a link is to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It serves clients.
    Worker,
    /// It publishes.
    Emitter,
}

impl Role {
    pub(super) fn of(hello: &Hello<'_>) -> Option<Self> {
        match &*hello.role {
            "worker" => Some(Self::Worker),
            "emitter" => Some(Self::Emitter),
            _ => None,
        }
    }
}

impl Exchange {
    pub(super) fn emitters(&self) -> usize {
        let workers = self.workers.values();
        workers.filter(|worker| worker.is_emitter()).count()
    }

    /// Whether one more may join in this role.
    pub(super) fn has_place(&self, role: Role) -> Result<(), Fault> {
        match role {
            Role::Emitter if self.emitters() >= EMITTERS_MAX => Err(Fault::TooMany("emitters")),
            Role::Emitter | Role::Worker => Ok(()),
        }
    }

    pub(super) fn is_emitter(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(Worker::is_emitter)
    }

    /// A frame of an emitter. `None`: it means the same as a worker's.
    pub(super) fn obey_emitter(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        frame: &Frame<'_>,
    ) -> Option<Result<(), Fault>> {
        match frame {
            Frame::Nsp { name } => Some(self.note_name(id, raw, name)),
            Frame::Bcast { nsp, parts, .. } => Some(self.emit(id, raw, *nsp, parts)),
            Frame::Move { nsp, places, .. } => Some(self.emit_move(id, raw, *nsp, places)),
            Frame::Bus { nsp, .. } if self.native.contains(*nsp) => {
                Some(Err(Fault::NotAllowed("namespace")))
            }
            Frame::Bus { .. }
            | Frame::Hello { .. }
            | Frame::Credit { .. }
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::GoAway { .. }
            | Frame::Error { .. }
            | Frame::Later { .. } => None,
            _ => Some(Err(Fault::NoWorker(raw.kind.name()))),
        }
    }

    /// Its name for a namespace, which need not be there: an emitter makes none, and keeps none.
    fn note_name(&mut self, id: WorkerId, raw: &Raw<'_>, name: &str) -> Result<(), Fault> {
        let number = raw.conn as u16;
        let is_native = self.native.contains(name);
        let names = &mut self.worker_mut(id).names;
        if raw.flags.contains(Flags::REMOVED) {
            names.remove(&number);
            return Ok(());
        }
        if is_native || name.len() > SPACE_NAME_BYTES_MAX {
            return Err(Fault::NotAllowed("namespace"));
        }
        if names.len() >= NAMES_MAX && !names.contains_key(&number) {
            return Err(Fault::TooMany("namespaces"));
        }
        names.insert(number, name.into());
        Ok(())
    }

    /// A broadcast. Nobody is in a namespace that no worker has.
    fn emit(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        nsp: u16,
        parts: &[Part<'_>],
    ) -> Result<(), Fault> {
        // It has no clients of its own.
        let space = self.emitted_to(id, nsp)?;
        let space = space.filter(|_| !raw.flags.contains(Flags::LOCAL));
        self.spread(id, raw, space, parts)
    }

    /// Moves sockets of workers.
    fn emit_move(
        &mut self,
        id: WorkerId,
        raw: &Raw<'_>,
        nsp: u16,
        places: &[&str],
    ) -> Result<(), Fault> {
        let space = self.emitted_to(id, nsp)?;
        self.spread_move(id, raw, space, places)
    }

    /// The namespace by an emitter's number, if there is one of that name.
    fn emitted_to(&mut self, id: WorkerId, nsp: u16) -> Result<Option<SpaceId>, Fault> {
        let name = self.worker_mut(id).names.get(&nsp).cloned();
        let name = name.ok_or(Fault::NotAllowed("namespace"))?;
        Ok(self.names.get(self.app_of(id), &name))
    }
}
