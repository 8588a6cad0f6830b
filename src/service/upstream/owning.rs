//! What the workers of one application may have and say beside those of another one.
//!
//! Deliberately absent: the table of names (`applications`), and workers of one application among themselves.

use super::applications::{AppId, namespace_of};
use super::breaker;
use super::exchange::Exchange;
use super::fault::Fault;
use super::mail::{ClientNumber, SpaceId};
use super::mend::{Notice, called};
use super::obey::SPACE_NAME_BYTES_MAX;
use super::worker::{Worker, WorkerId};
use ringway_proto::link::{Bind, Part, Raw};
use std::collections::BTreeSet;

/// Between an application's name and its worker's, where failures are remembered: names of the main application's have none.
const BETWEEN: char = '\0';

/// Names of a worker's that are other applications', and which it is to have when those do not have them any more.
const TAKEN_MAX: usize = 1024;
/// Lines about namespaces of two applications, in a minute: links that come again and again say the same.
const TOLD_MAX: u32 = 8;
const TOLD_WITHIN_US: u64 = 60_000_000;

/// How often something was told lately.
#[derive(Debug, Default)]
pub(super) struct Told {
    since_us: u64,
    count: u32,
}

impl Told {
    fn may_tell(&mut self, now_us: u64) -> bool {
        if self.count == 0 || now_us >= self.since_us + TOLD_WITHIN_US {
            (self.since_us, self.count) = (now_us, 0);
        }
        self.count += u32::from(self.count <= TOLD_MAX);
        self.count <= TOLD_MAX
    }
}

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
    /// it, as long as one of its workers is there or may come back, unless the configuration says whose it is. The error is who has it.
    pub(super) fn claim(&mut self, app: AppId, name: &str) -> Result<(), AppId> {
        if name == "/" {
            return Ok(());
        }
        let owner = self.routes.owner(name);
        if let Some(owner) = owner.filter(|owner| *owner != app) {
            return Err(owner);
        }
        for (other, space) in self.names.others(app, name) {
            if self.has_worker_with(space) {
                return Err(other);
            }
            self.retire_space((other, space), name, true);
        }
        Ok(())
    }

    /// A worker has said a namespace that is another application's. That is no lie: a client may have chosen the name before that one's worker came. So the
    /// link goes on, without that namespace.
    pub(super) fn note_taken(&mut self, (id, number): (WorkerId, u16), name: &str, owner: AppId) {
        if name.len() > SPACE_NAME_BYTES_MAX {
            self.stats.namespaces_refused += 1;
            return;
        }
        self.stats.namespaces_taken += 1;
        let worker = self.worker_mut(id);
        if worker.taken.len() < TAKEN_MAX {
            worker.taken.insert(number, name.into());
        }
        if self.told_taken.may_tell(self.recovery.now_us) {
            let worker = called(&self.workers[&id]);
            let application = self.name_of(self.app_of(id)).to_owned();
            let owner = self.name_of(owner).to_owned();
            let namespace = name.to_owned();
            self.notice(Notice::Taken {
                worker,
                application,
                owner,
                namespace,
            });
        }
    }

    /// An application has as many namespaces as it may have. The same is worth a line in a minute.
    pub(super) fn tell_crowded(&mut self, app: AppId, namespace: &str) {
        let application = self.name_of(app).to_owned();
        let now_us = self.recovery.now_us;
        if self
            .lately
            .is_new(now_us, &format!("crowded {application}"))
        {
            let (namespace, namespaces) = (namespace.to_owned(), self.names.len(app));
            self.notice(Notice::Crowded {
                application,
                namespace,
                namespaces,
            });
        }
    }

    /// Namespaces that workers have said, and other applications have.
    pub(super) fn waited_for(&self) -> BTreeSet<Box<str>> {
        let workers = self.workers.values();
        let taken = workers.flat_map(|worker| worker.taken.values());
        taken.cloned().collect()
    }

    /// An application has a namespace no more: whoever has said it before, has it now.
    pub(super) fn give_on(&mut self, name: &str) {
        let workers = self.workers.iter();
        let waiting = workers.flat_map(|(id, worker)| {
            let taken = worker.taken.iter().filter(|(_, other)| ***other == *name);
            taken.map(|(number, _)| (*id, *number))
        });
        let waiting: Vec<(WorkerId, u16)> = waiting.collect();
        for (id, number) in waiting {
            let app = self.app_of(id);
            let known = self.names.get(app, name);
            if known.is_none() && self.claim(app, name).is_err() {
                continue;
            }
            self.worker_mut(id).taken.remove(&number);
            let space = known.or_else(|| self.make_space(app, name));
            self.has_space((id, number), name, space);
        }
    }

    /// Whether a frame of a worker is of a namespace that is another application's.
    pub(super) fn is_taken(&self, id: WorkerId, raw: &Raw<'_>) -> bool {
        let number = raw
            .body
            .first_chunk()
            .map(|bytes| u16::from_le_bytes(*bytes));
        let worker = self.workers.get(&id);
        let taken = worker.map(|worker| &worker.taken);
        taken
            .zip(number)
            .is_some_and(|(taken, number)| taken.contains_key(&number))
    }

    pub(super) fn has_worker_with(&self, space: SpaceId) -> bool {
        self.holders.contains_key(&space)
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
    /// namespace is by now. `false`: it has said that the namespace is its own, which it is not, and is heard by nobody there.
    pub(super) fn may_say(&self, id: WorkerId, part: Part<'_>) -> Result<bool, Fault> {
        let Part::Text(text) = part else {
            return Ok(true);
        };
        if self.is_kept(namespace_of(text)) {
            return Err(Fault::NotAllowed("namespace"));
        }
        if !self.routes.are_several() || text.starts_with('4') {
            return Ok(true);
        }
        let name = namespace_of(text);
        if self.routes.of(name) == self.app_of(id) {
            return Ok(true);
        }
        let worker = self.workers.get(&id);
        let mut taken = worker.into_iter().flat_map(|worker| worker.taken.values());
        match taken.any(|other| **other == *name) {
            true => Ok(false),
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
