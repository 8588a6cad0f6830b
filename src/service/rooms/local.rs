//! A room's members on this shard.

use super::{Asker, Position, SlowConsumerPolicy};
use crate::hub::Key;
use std::rc::Rc;

pub(super) struct Local {
    /// Shared with deliveries that are on their way.
    pub(super) members: Rc<Vec<Key>>,
    /// Who joined before the home answered.
    pub(super) waiting: Vec<Asker>,
    /// The home has answered.
    pub(super) known: bool,
    /// The last message seen here.
    pub(super) position: Position,
    pub(super) policy: SlowConsumerPolicy,
}

impl Local {
    pub(super) fn asked(policy: SlowConsumerPolicy) -> Self {
        let position = Position {
            epoch: 0,
            offset: 0,
        };
        Self {
            members: Rc::default(),
            waiting: Vec::new(),
            known: false,
            position,
            policy,
        }
    }

    pub(super) fn known(policy: SlowConsumerPolicy, position: Position) -> Self {
        Self {
            members: Rc::default(),
            waiting: Vec::new(),
            known: true,
            position,
            policy,
        }
    }

    /// Takes a member out; gives its joins that wait for the home's answer.
    pub(super) fn remove(&mut self, member: Key) -> Vec<Asker> {
        if let Some(index) = self.members.iter().position(|other| *other == member) {
            Rc::make_mut(&mut self.members).swap_remove(index);
        }
        let its = |asker: &mut Asker| asker.member == member;
        self.waiting.extract_if(.., its).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.waiting.is_empty()
    }
}
