//! A shard stops so that its connections can go on elsewhere: on another number of shards, or in another process.
//!
//! In order: [`Shard::hush`] on every shard, laps until all are quiet (nothing is under way between shards), [`Shard::still`], reaps until all
//! are still (nothing is in flight), [`Shard::dissolve`]. On the new shards: [`Shard::adopt`] for each socket, the handler's own state by
//! [`Shard::tell`], then [`Shard::revive`]. Deliberately absent: how sockets get from one driver to another.

use crate::handler::{Cause, Conn, Context, Handler};
use crate::shard::{Shard, Timer};
use crate::table::{Sending, flag, key};
use ringway_io::{Driver, Errno, Frame, Op, OpKind, Socket};

const ECANCELED: Errno = Errno(125);
const CLOSING: u8 = 1;
const LINGERING: u8 = 1 << 1;
const SENDING: u8 = 1 << 2;
const FINISHED: u8 = 1 << 3;

/// What the loop itself knows of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrozenConnection {
    /// Bytes received that the handler has not seen.
    pub input: Vec<u8>,
    /// Bytes of the handler's last frame that were not sent; empty when all were and the handler was not told.
    pub unsent: Option<Vec<u8>>,
    /// It closes when nothing is left to send.
    pub closing: bool,
    /// Our side is shut already.
    pub lingering: bool,
    /// The peer has nothing more to say.
    pub finished: bool,
}

impl FrozenConnection {
    /// Flags, the length of the input (four bytes, little endian), the input, what is unsent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut flags = 0;
        for (set, flag) in [
            (self.closing, CLOSING),
            (self.lingering, LINGERING),
            (self.finished, FINISHED),
            (self.unsent.is_some(), SENDING),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let input_bytes =
            u32::try_from(self.input.len()).expect("input is bounded far below 4 GiB");
        let unsent = self.unsent.as_deref().unwrap_or_default();
        [
            &[flags],
            &input_bytes.to_le_bytes()[..],
            &self.input,
            unsent,
        ]
        .concat()
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (input, unsent) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        if flags & !(CLOSING | LINGERING | SENDING | FINISHED) != 0
            || (flags & SENDING == 0 && !unsent.is_empty())
        {
            return None;
        }
        Some(Self {
            input: input.to_vec(),
            unsent: (flags & SENDING != 0).then(|| unsent.to_vec()),
            closing: flags & CLOSING != 0,
            lingering: flags & LINGERING != 0,
            finished: flags & FINISHED != 0,
        })
    }
}

/// How far a shard has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stopping {
    /// Not at all.
    #[default]
    No,
    /// Nothing is taken from clients.
    Hushed,
    /// Nothing is sent to them either.
    Still,
}

impl<D: Driver, H: Handler> Shard<D, H> {
    /// Takes no more clients and no more bytes. What is under way between the shards comes to its end in the laps that follow.
    pub fn hush(&mut self) {
        self.stopping = Stopping::Hushed;
        self.cancel_accepts();
        for conn in self.table.conns() {
            self.cancel_recv(conn);
        }
    }

    /// Whether nothing is under way to or from other shards. The handler has to be asked as well.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.mesh.is_quiet()
            && self.control_is_empty()
            && self.arrivals.is_empty()
            && self.revoked.is_empty()
            && !self.table.any(flag::MIGRATING)
    }

    /// Stops sending: what is in flight is cancelled. From now on only [`Shard::reap`] may be called, until [`Shard::is_still`].
    pub fn still(&mut self) {
        self.stopping = Stopping::Still;
        self.cut_transfers();
        for conn in self.table.conns() {
            let is_sending = self.table.is_sending(conn);
            let sending = self.table.get(conn).filter(|_| is_sending);
            let Some(record) = sending else { continue };
            record.ops += 1;
            let target = key(OpKind::Send, conn);
            self.driver
                .submit(key(OpKind::Cancel, conn), Op::Cancel { target });
        }
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_still(&self) -> bool {
        !self.accepts() && self.strays == 0 && self.files.is_idle() && self.table.is_idle()
    }

    /// Gives the connections and the handler away.
    ///
    /// # Panics
    /// When the shard is not still.
    pub fn dissolve(mut self) -> (Vec<(Conn, Socket, FrozenConnection)>, H) {
        assert!(
            self.stopping == Stopping::Still && self.is_still(),
            "a shard is dissolved when it is still"
        );
        let conns = self.table.conns();
        let frozen = conns.into_iter().filter_map(|conn| {
            let sending = self.table.take_sending(conn);
            let extra = self.table.take_extra(conn);
            let input = extra.map_or_else(Vec::new, |extra| extra.input);
            let record = self.table.get(conn)?;
            let frozen = FrozenConnection {
                input,
                unsent: sending.map(|sending| sending.frame[sending.sent as usize..].to_vec()),
                closing: record.has(flag::CLOSE_AFTER_FLUSH),
                lingering: record.has(flag::LINGER),
                finished: record.has(flag::PEER_FINISHED),
            };
            Some((conn, record.socket(), frozen))
        });
        (frozen.collect(), self.handler)
    }

    /// A send ended although it may not have been done: what is left of it is state.
    pub(crate) fn sent_in_part(
        &mut self,
        conn: Conn,
        frame: Frame,
        total: u32,
        result: Result<u32, Errno>,
    ) {
        match result {
            Err(errno) if errno != ECANCELED => self.close(conn, Cause::Failed),
            _ => {
                let sent = total;
                self.table.put_sending(conn, Sending { frame, sent });
                self.after_op(conn);
            }
        }
    }

    /// A socket that another shard had. Nothing happens on it until [`Shard::revive`].
    pub fn adopt(&mut self, socket: Socket) -> Conn {
        self.table.insert(socket)
    }

    /// Lets the handler do something between laps.
    pub fn tell<R>(&mut self, f: impl FnOnce(&mut H, &mut Context<'_>) -> R) -> R {
        self.call(f)
    }

    /// An adopted connection goes on where it stood.
    pub fn revive(&mut self, conn: Conn, frozen: FrozenConnection) {
        if frozen.lingering {
            return self.revive_lingering(conn);
        }
        match frozen.unsent {
            Some(rest) if rest.is_empty() => self.call(|handler, cx| handler.sent(cx, conn)),
            Some(rest) => self.send(conn, Frame::from(rest), 0),
            None => {}
        }
        if frozen.finished {
            self.peer_said_all(conn);
        }
        if frozen.closing {
            self.close_after_flush(conn);
        }
        self.revive_input(conn, frozen.input);
        self.mark_dirty(conn);
        self.arm_recv(conn);
    }

    /// What a handler that has paused was not given, it is not given now.
    fn revive_input(&mut self, conn: Conn, mut input: Vec<u8>) {
        let Some(record) = self.table.get(conn).filter(|_| !input.is_empty()) else {
            return;
        };
        if record.has(flag::PAUSED) {
            self.table.extra(conn).input = input;
        } else {
            self.call(|handler, cx| handler.received(cx, conn, &mut input));
        }
    }

    fn revive_lingering(&mut self, conn: Conn) {
        let Some(record) = self.table.get(conn) else {
            return;
        };
        record.set(flag::CLOSE_AFTER_FLUSH | flag::LINGER);
        let over = self.now().monotonic + self.bounds.linger;
        self.wheel.insert(over, Timer::Linger(conn));
        self.arm_recv(conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_connection_survives_as_bytes() {
        let (input, unsent) = (b"in".to_vec(), Some(Vec::new()));
        for frozen in [
            FrozenConnection::default(),
            FrozenConnection {
                input: input.clone(),
                unsent,
                closing: true,
                lingering: false,
                finished: true,
            },
            FrozenConnection {
                input,
                unsent: Some(b"out".to_vec()),
                closing: false,
                lingering: true,
                finished: false,
            },
        ] {
            let bytes = frozen.to_bytes();
            assert_eq!(FrozenConnection::from_bytes(&bytes), Some(frozen));
        }
    }

    #[test]
    fn other_bytes_are_none() {
        for bytes in [
            &[][..],
            &[0],
            &[0, 9, 0, 0, 0, 1],
            &[16, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(FrozenConnection::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
