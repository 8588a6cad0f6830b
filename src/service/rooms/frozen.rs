//! Rooms that move: their positions travel, interest is counted anew from the members.

use super::local::Local;
use super::{Home, Name, Position, Rooms, parts};
use crate::hub::Key;
use crate::time::Now;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A home on its way.
#[derive(Serialize, Deserialize)]
pub(crate) struct FrozenHome {
    pub(crate) name: String,
    pub(crate) position: Position,
    /// A bit for each shard with members, among the shards that there will be.
    pub(crate) interest: u64,
}

impl Rooms {
    /// Whether no answer and no message is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let settled = |local: &Local| local.known && local.waiting.is_empty();
        self.publishes.is_empty() && self.effects.is_empty() && self.locals.iter().all(settled)
    }

    pub(crate) fn full_names_of(&self, member: Key) -> Vec<String> {
        let rooms = self.locals.rooms_of(member);
        rooms
            .map(|id| self.locals.room(id).name.to_string())
            .collect()
    }

    pub(crate) fn freeze_homes(&self) -> Vec<FrozenHome> {
        let freeze = |(name, home): (&Name, &Home)| FrozenHome {
            name: name.to_string(),
            position: home.position,
            interest: home.interest,
        };
        self.homes.iter().map(freeze).collect()
    }

    /// Takes over homes, and rooms whose members follow by [`Self::restore_member`].
    pub(crate) fn restore(
        &mut self,
        now: Now,
        homes: Vec<FrozenHome>,
        positions: &BTreeMap<String, Position>,
    ) {
        for frozen in homes {
            // Without a look at the bound: fewer shards may get the rooms of many.
            let mut home = Home::new(frozen.position.epoch);
            home.touch(now.monotonic_us);
            home.position = frozen.position;
            home.interest = frozen.interest;
            self.homes.insert(frozen.name.into(), home);
        }
        for (name, position) in positions {
            let policy = self.bounds.slow_consumers.of(parts(name).1);
            let name = name.as_str().into();
            self.locals.insert(Local::known(name, policy, *position));
        }
    }

    pub(crate) fn restore_member(&mut self, member: Key, names: &[String]) {
        for name in names {
            let id = self.locals.find(name);
            let id = id.expect("`restore` knew the rooms of all members");
            self.locals.enter(member, id);
        }
    }
}
