//! A room's members on this shard.

use super::{Asker, Name, Position, SlowConsumerPolicy};
use crate::hub::Key;
use std::rc::Rc;

/// Slots of sessions. Each session leaves its rooms before its slot is given to another, and nobody comes while a delivery is on its way.
pub(crate) type Members = Vec<u32>;

pub(super) struct Local {
    pub(super) name: Name,
    /// Shared with deliveries that are on their way.
    pub(super) members: Rc<Members>,
    /// Who joined before the home answered.
    pub(super) waiting: Vec<Asker>,
    /// The home has answered.
    pub(super) known: bool,
    /// The last message seen here.
    pub(super) position: Position,
    pub(super) policy: SlowConsumerPolicy,
}

impl Local {
    pub(super) fn asked(name: Name, policy: SlowConsumerPolicy) -> Self {
        let position = Position {
            epoch: 0,
            offset: 0,
        };
        Self {
            known: false,
            ..Self::known(name, policy, position)
        }
    }

    pub(super) fn known(name: Name, policy: SlowConsumerPolicy, position: Position) -> Self {
        Self {
            name,
            members: Rc::default(),
            waiting: Vec::new(),
            known: true,
            position,
            policy,
        }
    }

    /// Takes the joins of a session out that wait for the home's answer.
    pub(super) fn give_up(&mut self, member: Key) -> Vec<Asker> {
        let its = |asker: &mut Asker| asker.member == member;
        self.waiting.extract_if(.., its).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.waiting.is_empty()
    }
}
