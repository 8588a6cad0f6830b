//! What a hub has of upstream: its own clients, the exchange if the links are here, and mail that waits for ring space.

use super::applications::{Reserved, Routes};
use super::binding::Binding;
use super::clients::Clients;
use super::exchange::{Exchange, Order};
use super::mail::ClientNumber;
use super::parsing::Parser;
use super::pressure::Hold;
use super::questions::{Judged, Questions};
use super::shares::Weights;
use super::worker::WorkerId;
use crate::hub::{Gathered, Key};
use crate::settings::Settings;
use crate::stats::Stats;
use crate::time::{ConnId, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// The shard that has all links.
pub(crate) const LINKS: u16 = 0;
/// Bytes for other shards that may wait for ring space; then no link is read.
const MAIL_BYTES_MAX: usize = 1 << 20;
/// From then on the heaviest say no more, so that it does not come to that.
const MAIL_BYTES_MUCH: usize = MAIL_BYTES_MAX / 2;

/// How a client that has much before it takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressed {
    /// When it took something last.
    pub(crate) took_us: u64,
    /// What it has before it.
    pub(crate) bytes: usize,
}

impl Pressed {
    /// What it has before it now.
    pub(crate) const fn look(&mut self, bytes: usize, now_us: u64) {
        if bytes < self.bytes {
            self.took_us = now_us;
        }
        self.bytes = bytes;
    }
}

pub(crate) struct Joint {
    pub(crate) clients: Clients,
    pub(crate) exchange: Option<Box<Exchange>>,
    /// Broadcasts that wait for answers.
    pub(crate) gathered: Gathered,
    /// How the application's packets are encoded, once one of its workers has said it.
    pub(crate) parser: Option<Parser>,
    /// Mail for other shards that found no room, the oldest first.
    waiting: VecDeque<(u16, Rc<[u8]>)>,
    waiting_bytes: usize,
    /// Clients that a new worker wants to hear of, and whose answer found no room.
    pub(crate) called: BTreeSet<ClientNumber>,
    /// Sessions that close when what is queued went out.
    pub(crate) ending: BTreeSet<Key>,
    /// Clients that have more before them than they can take in a moment.
    pub(crate) pressed: BTreeMap<Key, Pressed>,
    /// Those that came to that in the last moments, and when.
    pub(crate) lately: BTreeMap<Key, u64>,
    /// What the links know of that: who is to wait, and whether these are many.
    pub(crate) hold: Hold,
    pub(crate) are_many: bool,
    /// Whose words stand before clients that do not follow.
    pub(crate) weights: Weights,
    /// Who says the frame at hand, and what it has put before such clients.
    pub(crate) speaker: Option<WorkerId>,
    pub(crate) spoken_bytes: u64,
    /// Clients that do not keep up, and the applications that know it, by what they call them.
    pub(crate) slow: BTreeMap<Key, Vec<ClientNumber>>,
    /// Of these, those that do again, and of whom that was not said to all of these yet.
    pub(crate) eased: BTreeSet<Key>,
    /// Bytes of the links' mail that were dealt with here, and of which they have not heard.
    pub(crate) carried_bytes: u64,
    /// Who waits until no mail does.
    mail_hold: Hold,
    /// What the application wants, and the operator's settings beneath that, once it has said so.
    pub(crate) binding: Binding,
    pub(crate) operator: Option<Arc<Settings>>,
    /// Words that it is obeyed, which found no ring space.
    pub(crate) unsaid_obeyed: u32,
    /// What the application is asked about requests.
    pub(crate) questions: Questions,
    /// The request that is being read again.
    pub(crate) judged: Option<Judged>,
    /// Orders are being carried out: what they cause comes behind them.
    pub(crate) is_carrying: bool,
    /// The timer that looks after links is armed.
    pub(crate) is_ticking: bool,
}

impl Joint {
    pub(crate) fn new(shard: u16, shards: u16, settings: &Settings, seed: [u64; 4]) -> Self {
        let upstream = settings.upstream.as_ref().filter(|_| shard == LINKS);
        let exchange = upstream.map(|upstream| {
            let epoch = [
                seed[0] ^ seed[1].rotate_left(17),
                seed[2] ^ seed[3].rotate_left(31),
            ];
            let mut exchange = Exchange::new(upstream.exchange.clone(), shards, epoch);
            exchange.keep_native(upstream.native.clone());
            Box::new(exchange)
        });
        let rooms_max = usize::from(settings.session_rooms_max);
        let upstream = settings.upstream.as_ref();
        let others = upstream.map(|upstream| &*upstream.exchange.applications);
        let routes = Routes::new(Reserved::new(others.unwrap_or_default()));
        Self {
            clients: Clients::new(shard, seed[0] ^ seed[2], rooms_max, routes),
            exchange,
            gathered: Gathered::default(),
            parser: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            called: BTreeSet::new(),
            ending: BTreeSet::new(),
            pressed: BTreeMap::new(),
            lately: BTreeMap::new(),
            are_many: false,
            slow: BTreeMap::new(),
            eased: BTreeSet::new(),
            hold: Hold::Nobody,
            weights: Weights::default(),
            speaker: None,
            spoken_bytes: 0,
            carried_bytes: 0,
            mail_hold: Hold::Nobody,
            binding: Binding::default(),
            operator: None,
            unsaid_obeyed: 0,
            questions: Questions::default(),
            judged: None,
            is_carrying: false,
            is_ticking: false,
        }
    }

    /// How much mail found no room.
    pub(crate) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_link(&self, conn: ConnId) -> bool {
        let exchange = self.exchange.as_ref();
        exchange.is_some_and(|exchange| exchange.is_link(conn))
    }

    pub(crate) fn next_send(&mut self, conn: ConnId) -> Option<Rc<[u8]>> {
        self.exchange.as_mut()?.next_send(conn)
    }

    pub(crate) fn take_orders(&mut self) -> Vec<Order> {
        let exchange = self.exchange.as_mut();
        exchange.map_or_else(Vec::new, |exchange| exchange.take_orders())
    }

    /// Reads some more of what links have said. `false`: there is nothing, or it is to wait.
    pub(crate) fn read_links(&mut self, now: Now) -> bool {
        let exchange = self.exchange.as_mut();
        exchange.is_some_and(|exchange| exchange.read_on(now))
    }

    pub(crate) fn count(&self, stats: &mut Stats) {
        if let Some(exchange) = &self.exchange {
            stats.exchange = exchange.stats();
        }
    }

    /// Whether nothing of clients or links is here.
    pub(crate) fn is_quiet(&self) -> bool {
        let exchange = self.exchange.as_ref();
        let is_unasked = self.questions.is_empty();
        is_unasked && self.clients.is_empty() && exchange.is_none_or(|exchange| !exchange.is_busy())
    }

    /// Says something to another shard, behind what waits already.
    pub(crate) fn deliver(&mut self, to: u16, bytes: Rc<[u8]>, send: impl FnOnce(&[u8]) -> bool) {
        if !self.waiting.is_empty() || !send(&bytes) {
            self.waiting_bytes += bytes.len();
            self.waiting.push_back((to, bytes));
        }
    }

    /// Tries again what waits.
    pub(crate) fn deliver_waiting(&mut self, mut send: impl FnMut(u16, &[u8]) -> bool) {
        while let Some((to, bytes)) = self.waiting.front() {
            if !send(*to, bytes) {
                return;
            }
            self.waiting_bytes -= bytes.len();
            self.waiting.pop_front();
        }
    }

    /// What was put before clients that do not follow is its speaker's.
    pub(crate) fn weigh(&mut self, now: Now) {
        let bytes = core::mem::take(&mut self.spoken_bytes);
        if let Some(id) = self.speaker {
            self.weights.add(now.monotonic_us, id, bytes);
        }
    }

    /// Which links are not to be read: not while much mail waits, and then not until none does; and not while clients are pressed.
    pub(crate) fn block_links(&mut self, now: Now) {
        self.mail_hold = match self.waiting_bytes {
            0 => Hold::Nobody,
            bytes if bytes > MAIL_BYTES_MAX => Hold::All,
            bytes if bytes > MAIL_BYTES_MUCH => self.mail_hold.max(Hold::Heaviest),
            _ => self.mail_hold,
        };
        if let Some(exchange) = &mut self.exchange {
            let hold = exchange.holds_back(now).max(self.mail_hold);
            exchange.set_hold(now, hold);
        }
    }
}
