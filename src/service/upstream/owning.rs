//! What the workers of one application may have and say beside those of another one.
//!
//! Deliberately absent: the table of names (`applications`), and workers of one application among themselves.

use super::applications::{AppId, namespace_of};
use super::breaker;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{ClientNumber, SpaceId};
use super::mend::{Notice, called};
use super::worker::{Worker, WorkerId};
use ringway_proto::link::{Bind, Part};

/// Between an application's name and its worker's, where failures are remembered: names of the main application's have none.
const BETWEEN: char = '\0';

/// What people call a kin of workers: the main application's by their name, others by `application/name`.
pub(super) fn called_kin(kin: &str) -> String {
    kin.replace(BETWEEN, "/")
}

impl Exchange {
    /// The application that a HELLO names, if it may join.
    pub(super) fn application(&self, name: &str) -> Option<AppId> {
        if name == self.settings.application {
            return Some(AppId::MAIN);
        }
        let mut others = self.settings.applications.iter();
        let at = others.position(|other| other.name == name)?;
        Some(AppId(at as u8 + 1))
    }

    fn name_of(&self, app: AppId) -> &str {
        let other = usize::from(app.0).checked_sub(1);
        other.map_or(&*self.settings.application, |at| {
            &self.settings.applications[at].name
        })
    }

    pub(super) fn app_of(&self, id: WorkerId) -> AppId {
        let worker = self.workers.get(&id);
        worker.map_or(AppId::MAIN, |worker| worker.app)
    }

    pub(super) fn app_of_client(&self, client: ClientNumber) -> Option<AppId> {
        Some(self.clients.get(&client)?.app)
    }

    /// Those of an application, its emitters among them.
    pub(super) fn workers_of(&self, app: AppId) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let workers = self.workers.iter();
        let workers = workers.filter(move |(_, worker)| worker.app == app);
        workers.map(|(id, worker)| (*id, worker))
    }

    /// The name by which a worker's failures are remembered: those of one application are no other's.
    pub(super) fn kin(&self, app: AppId, name: Option<&str>) -> Box<str> {
        let kin = breaker::kin(name).replace(BETWEEN, "");
        match app {
            AppId::MAIN => kin.into(),
            other => format!("{}{BETWEEN}{kin}", self.name_of(other)).into(),
        }
    }

    /// Whether an application's workers fail, those among them that are not there any more.
    pub(super) fn is_failing(&self, now_us: u64, app: AppId) -> bool {
        let mut workers = self.workers_of(app);
        let name = self.name_of(app);
        let is_kin = |kin: &str| match kin.split_once(BETWEEN) {
            Some((other, _)) => other == name && app != AppId::MAIN,
            None => app == AppId::MAIN,
        };
        workers.any(|(_, worker)| !worker.standing.is_closed())
            || self.breaker.is_failing(now_us, is_kin)
    }

    /// An application names a namespace that it did not have. Each has a `/` of its own, as every server does; any other is the first one's that names
    /// it, as long as one of its workers is there or may come back, unless the configuration says whose it is.
    pub(super) fn claim(&mut self, app: AppId, name: &str) -> Result<(), Fault> {
        if name == "/" {
            return Ok(());
        }
        let owner = self.routes.owner(name);
        if owner.is_some_and(|owner| owner != app) {
            return Err(Fault::OtherApplication);
        }
        for (other, space) in self.names.others(app, name) {
            if self.has_worker_with(space) {
                return Err(Fault::OtherApplication);
            }
            self.retire_space(other, space, name);
        }
        Ok(())
    }

    pub(super) fn has_worker_with(&self, space: SpaceId) -> bool {
        let mut workers = self.workers.values();
        workers.any(|worker| worker.spaces.values().flatten().any(|had| *had == space))
    }

    /// Whether clients cannot reach a namespace: the `/` of an application beside the main one. Its workers talk among themselves there.
    pub(super) fn is_unreached(&self, app: AppId, space: SpaceId) -> bool {
        app != AppId::MAIN && self.names.get(app, "/") == Some(space)
    }

    /// A namespace of a worker's, if clients can reach it.
    pub(super) fn with_clients(&self, id: WorkerId, space: Option<SpaceId>) -> Option<SpaceId> {
        space.filter(|space| !self.is_unreached(self.app_of(id), *space))
    }

    /// A namespace by its worker's number in a frame about a client.
    pub(super) fn reached(&self, id: WorkerId, nsp: u16) -> Result<Option<SpaceId>, Fault> {
        let space = self.space(id, nsp)?;
        let app = self.app_of(id);
        match space {
            Some(space) if self.is_unreached(app, space) => Err(Fault::NotAllowed("namespace")),
            None if self.workers[&id].kept.contains(&nsp) => Err(Fault::NotAllowed("namespace")),
            space => Ok(space),
        }
    }

    /// Whether a worker may say that to a client: another application's namespace is none of its. A CONNECT is refused by whoever was asked, whose ever the
    /// namespace is by now.
    pub(super) fn may_say(&self, id: WorkerId, part: Part<'_>) -> Result<(), Fault> {
        let Part::Text(text) = part else {
            return Ok(());
        };
        if self.is_kept(namespace_of(text)) {
            return Err(Fault::NotAllowed("namespace"));
        }
        if !self.routes.are_several() || text.starts_with('4') {
            return Ok(());
        }
        match self.routes.of(namespace_of(text)) == self.app_of(id) {
            true => Ok(()),
            false => Err(Fault::OtherApplication),
        }
    }

    /// Whether a namespace is the daemon's own. Every server has a `/`, of which it need not know: its workers talk among themselves there.
    pub(super) fn is_kept(&self, name: &str) -> bool {
        name != "/" && self.native.contains(name)
    }

    /// A worker has said a namespace that is the daemon's own. That is no lie, as no server knows what the daemon keeps: the link goes on, without that
    /// namespace.
    pub(super) fn note_kept(&mut self, (id, number): (WorkerId, u16), name: &str) {
        self.stats.namespaces_kept += 1;
        self.worker_mut(id).kept.insert(number);
        let worker = called(&self.workers[&id]);
        let now_us = self.recovery.now_us;
        if self.lately.is_new(now_us, &format!("{worker} {name}")) {
            let application = self.name_of(self.app_of(id)).to_owned();
            let namespace = name.to_owned();
            self.notice(Notice::Kept {
                worker,
                application,
                namespace,
            });
        }
    }

    /// Whether an application may want that of the daemon. About the connection, which is shared, the main one has the word.
    pub(super) fn may_bind(&self, id: WorkerId, bind: &Bind<'_>) -> Result<(), Fault> {
        match self.app_of(id) != AppId::MAIN && bind.rpc != "none" {
            true => Err(Fault::AskedBeside),
            false => Ok(()),
        }
    }
}
