//! What the loop is told to do with bytes: to send them back.

use ringway_io::{Frame, JobOutput, Listener, Peer, PoolFull, ShardId};
use ringway_runtime::{Cause, Class, Command, Conn, Context, Handler, MailOutcome, Now, Outgoing};
use std::collections::HashSet;
use std::rc::Rc;

/// A connection that has more to be sent back is not read meanwhile. The others read nothing until all of an answer went.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// The echo.
#[derive(Default)]
pub(crate) struct Echo {
    /// By slot: what the next send takes.
    waiting: Vec<Option<Rc<[u8]>>>,
    /// Slots of connections that are not read.
    paused: HashSet<u32>,
}

impl Echo {
    fn waiting(&mut self, conn: Conn) -> &mut Option<Rc<[u8]>> {
        &mut self.waiting[conn.slot as usize]
    }
}

impl Handler for Echo {
    type Control = ();

    fn accepted(&mut self, _: &mut Context<'_>, conn: Conn, _: Listener, _: Peer) {
        let slots = self.waiting.len().max(conn.slot as usize + 1);
        self.waiting.resize(slots, None);
    }

    fn received(&mut self, cx: &mut Context<'_>, conn: Conn, bytes: &mut [u8]) {
        let waiting = self.waiting(conn);
        let joined: Rc<[u8]> = match waiting {
            None => (&*bytes).into(),
            Some(before) => [before, &*bytes].concat().into(),
        };
        let is_much = joined.len() > WAITING_BYTES_MAX;
        *waiting = Some(joined);
        cx.commands.push(Command::Dirty(conn));
        if is_much && self.paused.insert(conn.slot) {
            cx.commands.push(Command::Pause(conn));
        }
    }

    fn next_send(&mut self, _: Now, conn: Conn) -> Option<Outgoing> {
        let bytes = self.waiting(conn).take()?;
        Some(Outgoing::Frame(Frame::from(bytes)))
    }

    fn sent(&mut self, cx: &mut Context<'_>, conn: Conn) {
        if !self.paused.is_empty() && self.paused.remove(&conn.slot) {
            cx.commands.push(Command::Resume(conn));
        }
    }

    fn closed(&mut self, _: &mut Context<'_>, conn: Conn, _: Cause) {
        *self.waiting(conn) = None;
        self.paused.remove(&conn.slot);
    }

    fn finished(&mut self, _: &mut Context<'_>, _: Conn) {}

    fn lap(&mut self, _: &mut Context<'_>) {}

    // Nobody asks for any of these: there is one shard, no timer, no job, no control thread.

    fn freeze(&mut self, _: Now, _: Conn) -> Vec<u8> {
        unreachable!("no connection moves")
    }

    fn arrived(&mut self, _: &mut Context<'_>, _: Conn, _: &[u8]) {
        unreachable!("no connection moves")
    }

    fn mail(&mut self, _: &mut Context<'_>, _: ShardId, _: Class, _: &[u8]) -> MailOutcome {
        unreachable!("there is no other shard")
    }

    fn deadline(&mut self, _: &mut Context<'_>, _: u64) {
        unreachable!("no timer was set")
    }

    fn computed(&mut self, _: &mut Context<'_>, _: u32, _: Result<JobOutput, PoolFull>) {
        unreachable!("no job was given away")
    }

    fn control(&mut self, _: &mut Context<'_>, (): ()) {
        unreachable!("nobody has the other end")
    }
}
