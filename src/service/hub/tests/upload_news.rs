//! What rooms hear of uploads: no more than of messages. No upload here reaches a disk; what storage would say of one is said to the hub.

use super::clients::check;
use super::uploaders::{bearer, request, with_uploads};
use super::world::{World, key, token};
use crate::auth::{Claims, RoomClaims, mint};
use crate::limits::Rate;
use crate::refusal::Refusal;
use crate::rooms::home_shard;
use crate::settings::Settings;
use crate::time::ConnId;
use crate::uploads::{Event, UploadId};

const FEW: Rate = Rate {
    per_second: 1,
    burst: 4,
};

/// More than a rate allows, and fewer than a member's queue holds.
const MANY: u16 = 6;

fn upload(number: u16) -> UploadId {
    UploadId::new(u128::from(number) << 12, 0)
}

fn finished(number: u16, room: &str) -> Event {
    Event::Finished {
        upload: upload(number),
        room: Some(room.to_owned()),
        name: upload(number).to_string(),
        subject: "anna".to_owned(),
        bytes: 1,
        metadata: String::new(),
    }
}

fn progress(number: u16, room: &str) -> Event {
    Event::Progress {
        upload: upload(number),
        room: Some(room.to_owned()),
        subject: "anna".to_owned(),
        offset: 1,
        length: None,
    }
}

/// A room whose home is this shard of two, and a member of it on the first.
fn member(world: &mut World, home: u16) -> (ConnId, String) {
    let mut names = (0..).map(|number| format!("order:{number}"));
    let room = names.find(|room| home_shard("/", room, 2) == home).unwrap();
    let connect = format!(r#"40{{"token":"{}"}}"#, token("bert", 600));
    let conn = world.websocket(0, &connect);
    world.say(conn, &format!(r#"421["join","{room}"]"#));
    (conn, room)
}

impl World {
    /// Uploads of the first shard say this; what the member reads of it.
    fn hear(&mut self, member: ConnId, events: impl Iterator<Item = Event>) -> String {
        let now = self.now;
        events.for_each(|event| self.hubs[0].take_news(event, now));
        self.settle();
        self.read(member)
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        let refusals = self.hubs.iter().map(|hub| hub.stats().refusals);
        refusals.map(|refusals| refusals[refusal.index()]).sum()
    }
}

#[test]
fn files_count_against_the_rate_of_their_room_wherever_its_home_is() {
    for home in 0..2 {
        let mut limited = with_uploads();
        limited.rates.room_messages = FEW;
        let mut world = World::new(2, limited);
        let (member, room) = member(&mut world, home);
        let seen = world.hear(member, (0..MANY).map(|number| finished(number, &room)));
        assert_eq!(seen.matches(r#"["file","#).count(), 4, "{home}: {seen}");
        assert_eq!(world.refused(Refusal::RateRoom), 2, "{home}");
        world.pass_ms(1000);
        check(
            &world.hear(member, core::iter::once(finished(10, &room))),
            r#"["file","#,
        );
    }
}

#[test]
fn progress_counts_against_the_rate_of_its_user_and_leaves_files_alone() {
    let mut limited = with_uploads();
    limited.rates.user_events = FEW;
    let mut world = World::new(2, limited);
    let (member, room) = member(&mut world, 1);
    let seen = world.hear(member, (0..MANY).map(|number| progress(number, &room)));
    assert_eq!(seen.matches(r#"["progress","#).count(), 4, "{seen}");
    let seen = world.hear(member, (0..MANY).map(|number| finished(number, &room)));
    assert_eq!(seen.matches(r#"["file","#).count(), 6, "{seen}");
}

#[test]
fn with_dev_nothing_is_limited() {
    let limited = Settings {
        dev: true,
        ..with_uploads()
    };
    let mut world = World::new(1, limited);
    let conn = world.websocket(0, "40");
    world.say(conn, r#"421["join","room"]"#);
    let seen = world.hear(conn, (0..MANY).map(|number| progress(number, "room")));
    assert_eq!(seen.matches(r#"["progress","#).count(), 6, "{seen}");
}

/// The answer to a new upload, if one comes before it has been stored.
fn create(world: &mut World, metadata: &str) -> String {
    let rw = RoomClaims {
        publish: vec!["room".to_owned()],
        uploads: vec!["*".to_owned()],
        ..RoomClaims::default()
    };
    let claims = Claims {
        sub: "anna".to_owned(),
        exp: 1_700_000_600,
        nbf: None,
        rw,
    };
    let conn = world.open(0);
    let lines = bearer(&mint(&key(), &claims).unwrap()) + "Upload-Length: 1\r\n" + metadata;
    world.send(conn, request("POST", "/uploads/", &lines).as_bytes());
    world.read(conn)
}

#[test]
fn an_upload_that_names_a_room_is_an_event_of_its_user() {
    // "room" is cm9vbQ== in base64.
    const NAMES_ROOM: &str = "Upload-Metadata: room cm9vbQ==\r\n";
    let mut limited = with_uploads();
    limited.rates.user_events = FEW;
    let mut world = World::new(2, limited);
    let answers = [(); 6].map(|()| create(&mut world, NAMES_ROOM));
    assert_eq!(answers[..4].concat(), "");
    for answer in &answers[4..] {
        check(answer, "HTTP/1.1 429 ");
        check(answer, "RW-2202");
        check(answer, "Retry-After: 1\r\n");
    }
    assert_eq!(create(&mut world, ""), "", "nobody hears of this one");
    assert_eq!(world.refused(Refusal::RateUser), 2);
    world.pass_ms(1000);
    assert_eq!(create(&mut world, NAMES_ROOM), "");
}

#[test]
fn an_upload_that_names_a_room_is_an_event_of_its_address() {
    let mut limited = with_uploads();
    limited.rates.address_events = FEW;
    let mut world = World::new(2, limited);
    let answers = [(); 5].map(|()| create(&mut world, "Upload-Metadata: room cm9vbQ==\r\n"));
    check(&answers[4], "RW-2204");
}
