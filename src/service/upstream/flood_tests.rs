//! Workers that say more than others can take: who waits first, who is isolated for it, and who is not.

use super::exchange::Exchange;
use super::mail::ToLinks;
use super::mend::{Failure, Notice};
use super::pressure::Hold;
use super::shares::Weights;
use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, Part};

const SECOND_US: u64 = 1_000_000;
const TICK_US: u64 = 100_000;
/// What whoever floods says in a tick.
const LOUD_BYTES: usize = 64 << 10;

fn stage() -> Stage {
    Stage::with_applications(Window::default(), &[("shop", &["/shop"])])
}

/// A worker of a name that has the namespace, and takes clients.
fn worker(stage: &mut Stage, name: &str) -> ConnId {
    let conn = stage.accept();
    stage.hello_named(conn, name, name);
    stage.say(conn, 1, &Frame::Nsp { name: "/" });
    conn
}

/// Broadcasts of so many bytes in all.
fn shout(stage: &mut Stage, conn: ConnId, bytes: usize) {
    let text = format!("2[\"{}\"]", "x".repeat(bytes.min(32 << 10)));
    for _ in 0..bytes.div_ceil(32 << 10) {
        let parts = vec![Part::Text(&text)];
        let (rooms, except) = (Vec::new(), Vec::new());
        let (nsp, say) = (1, Stage::say);
        let frame = Frame::Bcast {
            nsp,
            rooms,
            except,
            parts,
        };
        say(stage, conn, 0, &frame);
    }
}

/// Time goes by for workers that deal with what they are sent.
fn tick(stage: &mut Stage, conns: &[ConnId]) {
    stage.pass(TICK_US);
    for conn in conns {
        stage.heard_all(*conn);
        stage.say(*conn, 0, &Frame::Pong { number: 0 });
    }
}

/// For so many ticks each says so much, and the heaviest wait for clients.
fn storm(stage: &mut Stage, said: &[(ConnId, usize)], ticks: u64) {
    let conns: Vec<ConnId> = said.iter().map(|(conn, _)| *conn).collect();
    for _ in 0..ticks {
        for (conn, bytes) in said {
            shout(stage, *conn, *bytes);
        }
        stage.hold(Hold::Heaviest);
        tick(stage, &conns);
        stage.hold(Hold::Nobody);
    }
}

fn calm(stage: &mut Stage, conns: &[ConnId], ticks: u64) {
    (0..ticks).for_each(|_| tick(stage, conns));
}

/// What became of circuits.
fn notices(stage: &mut Stage) -> Vec<String> {
    let notices = stage.exchange.take_notices().into_iter();
    let told = notices.filter_map(|notice| match notice {
        Notice::Opened {
            worker, failure, ..
        } => Some(format!("{worker} {failure:?}")),
        Notice::HalfOpen { worker } => Some(format!("{worker} half open")),
        Notice::Closed { worker } => Some(format!("{worker} closed")),
        _ => None,
    });
    told.collect()
}

/// A worker has been isolated as it flooded; the other one.
fn flooded() -> (Stage, ConnId) {
    let mut stage = stage();
    let [loud, well] = ["loud", "well"].map(|name| worker(&mut stage, name));
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0)], 302);
    assert_eq!(notices(&mut stage), ["loud Flooded"]);
    (stage, well)
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn those_over_their_fair_share_wait_and_all_when_that_is_not_enough() {
    for (said, paused) in [
        (&[0, 0, 0][..], &[false, false, false][..]),
        (&[1 << 20, 0, 0], &[true, false, false]),
        (&[1 << 20, 4 << 10, 4 << 10], &[true, false, false]),
        (&[4 << 10, 1 << 20, 1 << 20], &[false, true, true]),
    ] {
        let mut stage = stage();
        let workers: Vec<ConnId> = ["a", "b", "c"].map(|name| worker(&mut stage, name)).into();
        for (conn, bytes) in workers.iter().zip(said) {
            shout(&mut stage, *conn, *bytes);
        }
        let are_paused = |stage: &Stage| -> Vec<bool> {
            let paused = workers.iter().map(|conn| stage.peer(*conn).is_paused);
            paused.collect()
        };
        stage.hold(Hold::Heaviest);
        assert_eq!(are_paused(&stage), paused, "{said:?}");
        let count = paused.iter().filter(|is_paused| **is_paused).count() as u64;
        let stats = stage.exchange.stats();
        assert_eq!((stats.links_paused, stats.heaviest_pauses), (count, 1));
        assert_eq!(stats.links_pauses, 0);
        stage.hold(Hold::All);
        assert_eq!(are_paused(&stage), [true; 3]);
        assert_eq!(stage.exchange.stats().links_pauses, 1);
        stage.hold(Hold::Heaviest);
        assert_eq!(are_paused(&stage), paused, "it is as it was");
        stage.hold(Hold::Nobody);
        assert_eq!(are_paused(&stage), [false; 3]);
    }
}

#[test]
fn others_are_heard_while_the_heaviest_waits() {
    let mut stage = stage();
    let [loud, quiet] = ["loud", "quiet"].map(|name| worker(&mut stage, name));
    shout(&mut stage, loud, 1 << 20);
    stage.hold(Hold::Heaviest);
    stage.take_told();
    stage.say(loud, 2, &Frame::Nsp { name: "/loud" });
    stage.say(quiet, 2, &Frame::Nsp { name: "/quiet" });
    assert_eq!(stage.take_told(), ["space 1 /quiet"]);
    let late = worker(&mut stage, "late");
    assert!(!stage.peer(late).is_paused);
    stage.hold(Hold::Nobody);
    assert_eq!(stage.take_told(), ["space 2 /loud"], "it is read again");
}

#[test]
fn the_first_who_says_something_under_pressure_waits() {
    let mut stage = stage();
    let [loud, quiet] = ["loud", "quiet"].map(|name| worker(&mut stage, name));
    stage.hold(Hold::Heaviest);
    assert_eq!(stage.exchange.stats().links_paused, 0);
    shout(&mut stage, loud, 64 << 10);
    assert!(stage.peer(loud).is_paused && !stage.peer(quiet).is_paused);
    // Who says most meanwhile waits, too, and nobody goes on for that.
    shout(&mut stage, quiet, 1 << 20);
    tick(&mut stage, &[]);
    assert!(stage.peer(loud).is_paused && stage.peer(quiet).is_paused);
}

#[test]
fn what_shards_say_of_their_clients_decides_with_it() {
    let mut stage = stage();
    let [often, far] = ["often", "far"].map(|name| worker(&mut stage, name));
    shout(&mut stage, often, 256 << 10);
    shout(&mut stage, far, 32 << 10);
    // The second one's reach ten thousand clients.
    let mut weights = Weights::default();
    let (far_id, _) = stage
        .exchange
        .workers
        .last_key_value()
        .expect("it is there");
    weights.add(stage.now_us, *far_id, 320 << 20);
    stage.mail(&ToLinks::Pressed {
        shard: 0,
        hold: Hold::Heaviest,
        is_many: false,
        weights,
    });
    let hold = stage.exchange.holds_back(stage.now());
    assert_eq!(hold, Hold::Heaviest);
    stage.hold(hold);
    assert!(stage.peer(far).is_paused && !stage.peer(often).is_paused);
}

#[test]
fn a_worker_that_floods_is_isolated_unread_and_tried_with_one_client() {
    let mut stage = stage();
    let [loud, well] = ["loud", "well"].map(|name| worker(&mut stage, name));
    stage.open(1, &[]);
    stage.open(2, &[]);
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0)], 299);
    assert_eq!(notices(&mut stage), nothing(), "not yet");
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0)], 3);
    assert_eq!(notices(&mut stage), ["loud Flooded"]);
    let told = stage.take_told();
    assert!(told.contains(&"again 1".to_owned()), "{told:?}");
    stage.open(1, &[]);
    assert_eq!(stage.heard_all(well), ["OPEN 1"]);
    let stats = stage.exchange.stats();
    assert_eq!((stats.floods, stats.circuits_opened), (1, 1));
    // It comes back, and is welcome; nothing else that it says is read.
    let back = stage.accept();
    stage.hello_named(back, "loud again", "loud");
    assert!(stage.heard(back).contains(&"WELCOME 0".to_owned()));
    assert!(stage.peer(back).is_paused);
    stage.say(back, 1, &Frame::Nsp { name: "/back" });
    stage.open(3, &[]);
    assert_eq!(stage.heard_all(well), ["OPEN 3"], "it has no clients");
    assert_eq!(stage.exchange.stats().workers_isolated, 1);
    assert!(!stage.take_told().iter().any(|told| told.contains("/back")));
    // When its time is over it is read, and gets the next client.
    calm(&mut stage, &[well], 11);
    assert_eq!(notices(&mut stage), ["loud half open"]);
    assert!(!stage.peer(back).is_paused);
    assert!(stage.take_told().iter().any(|told| told.contains("/back")));
    stage.open(4, &[]);
    assert!(stage.heard_all(back).contains(&"OPEN 4".to_owned()));
    calm(&mut stage, &[well, back], 15);
    assert_eq!(notices(&mut stage), ["loud closed"]);
}

#[test]
fn one_that_floods_again_on_trial_is_isolated_sooner() {
    let (mut stage, well) = flooded();
    let back = worker(&mut stage, "loud");
    calm(&mut stage, &[well, back], 11);
    assert_eq!(notices(&mut stage), ["loud half open"]);
    stage.open(1, &[]);
    storm(&mut stage, &[(back, LOUD_BYTES), (well, 0)], 74);
    assert_eq!(notices(&mut stage), nothing(), "it is on trial");
    storm(&mut stage, &[(back, LOUD_BYTES), (well, 0)], 3);
    assert_eq!(notices(&mut stage), ["loud Flooded"]);
    assert!(stage.take_told().contains(&"again 1".to_owned()));
}

#[test]
fn a_burst_a_job_and_slow_clients_are_no_flood() {
    type Step = fn(&mut Stage, [ConnId; 2], u64);
    let cases: [(&str, Step); 5] = [
        (
            "a burst, and clients that take it slowly",
            |stage, [loud, well], at| {
                let bytes = if at == 0 { 7 << 20 } else { 0 };
                storm(stage, &[(loud, bytes), (well, 0)], 1);
            },
        ),
        ("a burst in each second", |stage, [loud, well], at| {
            match at % 10 {
                0..4 => storm(stage, &[(loud, LOUD_BYTES), (well, 0)], 1),
                _ => calm(stage, &[loud, well], 1),
            }
        }),
        ("much, which clients take", |stage, [loud, well], _| {
            shout(stage, loud, LOUD_BYTES);
            calm(stage, &[loud, well], 1);
        }),
        (
            "clients for which nobody waits at last",
            |stage, [loud, well], at| {
                shout(stage, loud, LOUD_BYTES);
                // Two seconds of patience, and two of rest.
                match at % 40 {
                    0..20 => storm(stage, &[(loud, 0), (well, 0)], 1),
                    _ => calm(stage, &[loud, well], 1),
                }
            },
        ),
        ("workers that take turns", |stage, [one, other], at| {
            let is_first = at / 20 % 2 == 0;
            let (one_says, other_says) = if is_first {
                (LOUD_BYTES, 0)
            } else {
                (0, LOUD_BYTES)
            };
            storm(stage, &[(one, one_says), (other, other_says)], 1);
        }),
    ];
    for (what, step) in cases {
        let mut stage = stage();
        let workers = ["loud", "well"].map(|name| worker(&mut stage, name));
        for at in 0..900 {
            step(&mut stage, workers, at);
        }
        assert_eq!(notices(&mut stage), nothing(), "{what}");
    }
}

#[test]
fn one_that_nobody_can_stand_in_for_only_waits() {
    let mut stage = stage();
    let loud = worker(&mut stage, "loud");
    let other = stage.worker_of("shop", "of the shop");
    stage.open(1, &[]);
    storm(&mut stage, &[(loud, LOUD_BYTES), (other, 0)], 600);
    assert_eq!(notices(&mut stage), nothing());
    stage.hold(Hold::Heaviest);
    assert!(stage.peer(loud).is_paused && !stage.peer(other).is_paused);
    stage.hold(Hold::Nobody);
    let well = worker(&mut stage, "well");
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0), (other, 0)], 1);
    assert_eq!(
        notices(&mut stage),
        ["loud Flooded"],
        "now there is somebody"
    );
}

#[test]
fn one_on_trial_that_is_alone_gets_all_clients() {
    let mut stage = stage();
    let [loud, well] = ["loud", "well"].map(|name| worker(&mut stage, name));
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0)], 302);
    let back = worker(&mut stage, "loud");
    stage.kill(well);
    notices(&mut stage);
    stage.open(1, &[]);
    storm(&mut stage, &[(back, LOUD_BYTES)], 10);
    stage.open(1, &[]);
    stage.open(2, &[]);
    storm(&mut stage, &[(back, LOUD_BYTES)], 30);
    assert_eq!(notices(&mut stage), ["loud half open", "loud closed"]);
    assert!(stage.take_told().contains(&"again 2".to_owned()));
}

#[test]
fn an_emitter_waits_and_has_nothing_to_be_isolated_from() {
    let mut stage = stage();
    let well = worker(&mut stage, "well");
    let loud = stage.accept();
    stage.hello_as("emitter", loud, "loud", None);
    stage.say(loud, 1, &Frame::Nsp { name: "/" });
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0)], 600);
    assert_eq!(notices(&mut stage), nothing());
    shout(&mut stage, loud, LOUD_BYTES);
    stage.hold(Hold::Heaviest);
    assert!(stage.peer(loud).is_paused && !stage.peer(well).is_paused);
}

#[test]
fn nobody_is_isolated_for_it_where_that_is_not_wanted() {
    let mut stage = stage();
    let mut settings = stage.exchange.settings.clone();
    settings.breaker.flood_ms = 0;
    stage.exchange = Exchange::new(settings, 1, [1, 2]);
    let [loud, well] = ["loud", "well"].map(|name| worker(&mut stage, name));
    storm(&mut stage, &[(loud, LOUD_BYTES), (well, 0)], 900);
    assert_eq!(notices(&mut stage), nothing());
    assert_eq!(stage.exchange.stats().floods, 0);
}

#[test]
fn a_daemon_that_did_not_run_does_not_count_that_time() {
    let mut stage = stage();
    let [loud, well] = ["loud", "well"].map(|name| worker(&mut stage, name));
    for _ in 0..10 {
        shout(&mut stage, loud, LOUD_BYTES);
        stage.hold(Hold::Heaviest);
        stage.now_us += 60 * SECOND_US;
        stage.pass(TICK_US);
        stage.hold(Hold::Nobody);
    }
    calm(&mut stage, &[loud, well], 1);
    let told = notices(&mut stage);
    let floods = told
        .iter()
        .any(|told| told.contains(&format!("{:?}", Failure::Flooded)));
    assert!(!floods, "{told:?}");
}

/// For so many ticks, or until it is isolated, it says much, and a shard's clients cannot take it: many of them, or a few.
fn press(stage: &mut Stage, [loud, well]: [ConnId; 2], is_many: bool, ticks: u64) {
    let (loud_id, _) = stage
        .exchange
        .workers
        .first_key_value()
        .expect("it is there");
    let loud_id = *loud_id;
    for _ in 0..ticks {
        if stage.exchange.stats().floods > 0 {
            return;
        }
        shout(stage, loud, LOUD_BYTES);
        let mut weights = Weights::default();
        weights.add(stage.now_us, loud_id, 10 << 20);
        for hold in [Hold::Heaviest, Hold::Nobody] {
            let weights = weights.clone();
            stage.mail(&ToLinks::Pressed {
                shard: 0,
                hold,
                is_many,
                weights,
            });
            let hold = stage.exchange.holds_back(stage.now());
            stage.hold(hold);
            if hold == Hold::Heaviest {
                let paused = [loud, well].map(|conn| stage.peer(conn).is_paused);
                assert_eq!(paused, [true, false]);
                tick(stage, &[loud, well]);
            }
        }
    }
}

#[test]
fn what_a_few_clients_cannot_take_makes_a_worker_wait_and_is_no_flood() {
    let mut stage = stage();
    let workers = ["loud", "well"].map(|name| worker(&mut stage, name));
    press(&mut stage, workers, false, 900);
    assert_eq!(notices(&mut stage), nothing(), "they read slowly");
    press(&mut stage, workers, true, 310);
    assert_eq!(notices(&mut stage), ["loud Flooded"]);
}

#[test]
fn one_of_its_name_that_dies_does_not_have_the_next_one_read() {
    let (mut stage, well) = flooded();
    let back = stage.accept();
    stage.hello_named(back, "loud again", "loud");
    stage.kill(back);
    calm(&mut stage, &[well], 6);
    let next = stage.accept();
    stage.hello_named(next, "loud once more", "loud");
    assert!(stage.heard(next).contains(&"WELCOME 0".to_owned()));
    assert!(stage.peer(next).is_paused);
}
