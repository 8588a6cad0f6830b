//! Sockets are moved in and out of rooms by a worker that may not be theirs, and whose they are is told.
//!
//! Deliberately absent: what becomes of that on the links (`upstream::moved`).

use super::{Hub, Key, Turn};
use crate::upstream::{AppId, ClientNumber, Moved, MovedSocket, SpaceId, Target, ToLinks};
use ringway_proto::link::{MOVED_UNKNOWN, Movement};

impl Hub {
    /// A MOVE: done here and now, so that whatever its worker says behind it finds it done.
    pub(super) fn move_sockets(
        &mut self,
        id: SpaceId,
        what: Movement,
        target: Target<'_>,
        (places, turn): (&[&str], &mut Turn<'_>),
    ) {
        let is_full = self.upstream.clients.bytes() > self.settings.shard_input_bytes_max;
        let is_refused = is_full && what == Movement::Join;
        self.stats.memberships_refused += u64::from(is_refused);
        let moved = self.upstream.clients.change_all(id, |space| match what {
            Movement::Join if is_refused => Vec::new(),
            Movement::Join => space.move_in(target, places),
            Movement::Leave => space.move_out(target, places),
            Movement::Disconnect | Movement::Close => space.dismiss(target, what),
        });
        let named = self.upstream.clients.named(id);
        let (app, name) = (named.app, named.name.clone());
        let numbered = moved.iter().filter_map(|one| {
            let client = self.number_of((one.key, app))?;
            Some(described(client, one))
        });
        let mail = ToLinks::Moved {
            answers: Some(self.shard),
            namespace: &name,
            what,
            places: places.to_vec(),
            sockets: numbered.collect(),
        };
        let mail = mail.encode();
        self.say_or_keep(mail, turn);
    }

    /// A client's sockets that are to be disconnected, and whose worker went before it did that: the next one does.
    pub(super) fn dismiss_again(
        &mut self,
        (key, app): (Key, AppId),
        client: ClientNumber,
        turn: &mut Turn<'_>,
    ) {
        let sockets = self.upstream.clients.sockets((key, app));
        let dismissed = sockets.filter_map(|(named, member)| {
            let socket = MovedSocket {
                client,
                sid: &member.sid,
                known: MOVED_UNKNOWN,
                places: 0,
            };
            let mail = ToLinks::Moved {
                answers: None,
                namespace: &named.name,
                what: member.dismissed?,
                places: Vec::new(),
                sockets: vec![socket],
            };
            Some(mail.encode())
        });
        let mails: Vec<Vec<u8>> = dismissed.collect();
        for mail in mails {
            self.say_or_keep(mail, turn);
        }
    }

    /// By what number an application knows a session.
    fn number_of(&self, (key, app): (Key, AppId)) -> Option<ClientNumber> {
        self.sessions.get(key)?.upstream()?.number(app)
    }
}

fn described(client: ClientNumber, moved: &Moved) -> MovedSocket<'_> {
    MovedSocket {
        client,
        sid: &moved.sid,
        known: moved.known,
        places: moved.places,
    }
}
