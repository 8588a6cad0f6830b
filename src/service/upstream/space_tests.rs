//! A namespace's rooms, beside a model that is as plain as it gets.

use super::random::Random;
use super::space::{Moved, Space, SpaceError, Target};
use super::worker::WorkerId;
use crate::hub::Key;
use ringway_proto::link::{MOVED_UNKNOWN, Movement};
use std::collections::{BTreeMap, BTreeSet};

const fn key(slot: u32) -> Key {
    Key {
        slot,
        generation: 1,
    }
}

fn space() -> Space {
    Space::new(7, 4)
}

fn with(sockets: &[(u32, &str, &[&str])]) -> Space {
    let mut space = space();
    for (slot, sid, rooms) in sockets {
        space.set(key(*slot), sid, "", ("{}", "{}"), rooms).unwrap();
    }
    space
}

#[track_caller]
fn check(space: &Space, rooms: &[&str], except: &[&str], expected: &[u32]) {
    let slots: Vec<u32> = space
        .plan(rooms, except)
        .iter()
        .map(|key| key.slot)
        .collect();
    assert_eq!(slots, expected, "{rooms:?} but {except:?}");
}

#[test]
fn a_broadcast_reaches_each_socket_once() {
    let space = with(&[(3, "c", &["x", "y"]), (1, "a", &["x"]), (2, "b", &[])]);
    check(&space, &[], &[], &[1, 2, 3]);
    check(&space, &["x"], &[], &[1, 3]);
    check(&space, &["x", "y"], &[], &[1, 3]);
    check(&space, &["x", "b"], &[], &[1, 2, 3]);
    check(&space, &["x"], &["y"], &[1]);
    check(&space, &[], &["a"], &[2, 3]);
    check(&space, &["c"], &[], &[3]);
    check(&space, &["nobody"], &[], &[]);
    check(&space, &["x"], &["nobody"], &[1, 3]);
}

#[test]
fn a_socket_is_of_the_worker_that_described_it_last() {
    let mut space = with(&[(1, "a", &[])]);
    assert!(!space.is_of(key(1), WorkerId(0)), "nobody said so");
    space.belongs(key(1), WorkerId(0));
    assert!(space.is_of(key(1), WorkerId(0)) && !space.is_of(key(1), WorkerId(1)));
    space.belongs(key(1), WorkerId(1));
    assert!(space.is_of(key(1), WorkerId(1)) && !space.is_of(key(2), WorkerId(1)));
}

#[test]
fn what_a_worker_says_anew_replaces_what_it_said() {
    let mut space = with(&[(1, "a", &["x", "y"])]);
    space
        .set(key(1), "a2", "p", ("{\"t\":1}", "{\"d\":2}"), &["z"])
        .unwrap();
    check(&space, &["x", "y", "a"], &[], &[]);
    check(&space, &["z"], &[], &[1]);
    check(&space, &["a2"], &[], &[1]);
    let member = space.member(key(1)).unwrap();
    assert_eq!(
        (&*member.pid, &*member.auth, &*member.data),
        ("p", "{\"t\":1}", "{\"d\":2}")
    );
    space.set_data(key(1), "3").unwrap();
    assert_eq!(&*space.member(key(1)).unwrap().data, "3");
}

#[test]
fn words_about_others_are_refused() {
    let mut space = with(&[(1, "a", &["x"])]);
    assert_eq!(
        space.set(key(2), "a", "", ("", ""), &[]),
        Err(SpaceError::TakenSid)
    );
    assert_eq!(space.join(key(2), &["x"]), Err(SpaceError::NoMember));
    assert_eq!(space.set_data(key(2), ""), Err(SpaceError::NoMember));
    space.leave(key(2), &["x"]);
    assert!(space.remove(key(2)).is_none());
    check(&space, &["x"], &[], &[1]);
}

#[test]
fn rooms_of_a_socket_are_bounded() {
    let mut space = with(&[(1, "a", &["1", "2", "3"])]);
    assert_eq!(
        space.join(key(1), &["4", "5"]),
        Err(SpaceError::TooManyRooms)
    );
    assert_eq!(
        space.join(key(1), &["4", "a"]),
        Ok(()),
        "it is in these already"
    );
    let rooms = ["1", "2", "3", "4", "5"];
    assert_eq!(
        space.set(key(1), "b", "", ("", ""), &rooms),
        Err(SpaceError::TooManyRooms)
    );
    check(&space, &["a"], &[], &[1]);
}

/// A socket's own room is no entry, also when somebody else joins it by name.
#[test]
fn the_room_of_another_socket_may_be_joined() {
    let mut space = with(&[(1, "a", &[]), (2, "b", &[])]);
    space.join(key(2), &["a"]).unwrap();
    check(&space, &["a"], &[], &[1, 2]);
    space.leave(key(2), &["a"]);
    check(&space, &["a"], &[], &[1]);
}

type Model = BTreeMap<u32, BTreeSet<String>>;

fn model_plan(model: &Model, rooms: &[&str], except: &[&str]) -> Vec<u32> {
    let is_in = |slot: u32, rooms_of: &BTreeSet<String>, names: &[&str]| {
        let own = format!("s{slot}");
        names
            .iter()
            .any(|name| **name == own || rooms_of.contains(*name))
    };
    let reached = model.iter().filter(|(slot, rooms_of)| {
        (rooms.is_empty() || is_in(**slot, rooms_of, rooms)) && !is_in(**slot, rooms_of, except)
    });
    reached.map(|(slot, _)| *slot).collect()
}

fn step(random: &mut Random, space: &mut Space, model: &mut Model) {
    let slot = random.below(12) as u32;
    let room = match random.below(5) {
        4 => "s5".to_owned(),
        number => format!("r{number}"),
    };
    match random.below(6) {
        0 => {
            space
                .set(key(slot), &format!("s{slot}"), "", ("", ""), &[&room])
                .unwrap();
            model.insert(slot, BTreeSet::from([room]));
        }
        1 => assert_eq!(
            space.remove(key(slot)).is_some(),
            model.remove(&slot).is_some()
        ),
        2 | 3 => {
            let joined = space.join(key(slot), &[&room]);
            let known = model.get_mut(&slot).map(|rooms| rooms.insert(room));
            assert_eq!(joined.is_ok(), known.is_some());
        }
        _ => {
            space.leave(key(slot), &[&room]);
            if let Some(rooms) = model.get_mut(&slot) {
                rooms.remove(&room);
            }
        }
    }
}

#[test]
fn rooms_are_as_the_model_has_them() {
    const NAMES: [&str; 7] = ["r0", "r1", "r2", "r3", "s0", "s5", "s11"];
    for seed in 0..100 {
        let (mut random, mut model) = (Random(seed), Model::new());
        let mut space = Space::new(7, 5);
        for _ in 0..400 {
            step(&mut random, &mut space, &mut model);
            let mut some = |end| -> Vec<&str> {
                let count = random.below(end);
                (0..count)
                    .map(|_| NAMES[random.below(7) as usize])
                    .collect()
            };
            let (rooms, except) = (some(4), some(3));
            check(
                &space,
                &rooms,
                &except,
                &model_plan(&model, &rooms, &except),
            );
        }
        for slot in 0..12 {
            space.remove(key(slot));
        }
        assert!(space.is_empty(), "seed {seed}");
        assert!(
            space.holds_nothing(),
            "seed {seed}: rooms without members stay"
        );
    }
}

const fn of<'a>(rooms: &'a [&'a str], except: &'a [&'a str]) -> Target<'a> {
    Target { rooms, except }
}

fn told(moved: Vec<Moved>) -> Vec<(u32, String, u32, u64)> {
    let moved = moved.into_iter();
    let told = moved.map(|one| (one.key.slot, one.sid.to_string(), one.known, one.places));
    told.collect()
}

#[test]
fn sockets_are_moved_and_those_for_whom_it_is_new_are_told() {
    let mut space = with(&[(1, "a", &["x"]), (2, "b", &["x", "y"]), (3, "c", &[])]);
    space.belongs(key(1), WorkerId(4));
    let joined = space.move_in(of(&["x"], &[]), &["y", "z"]);
    let one = |slot, sid: &str, known, places: u64| (slot, sid.to_owned(), known, places);
    assert_eq!(
        told(joined),
        [one(1, "a", 0, 0b11), one(2, "b", MOVED_UNKNOWN, 0b10)]
    );
    check(&space, &["y"], &[], &[1, 2]);
    space.note_frame(key(1));
    let left = space.move_out(of(&[], &["b"]), &["y", "x", "nowhere"]);
    assert_eq!(told(left), [one(1, "a", 1, 0b11)]);
    check(&space, &["x", "y"], &[], &[2]);
    check(&space, &["z"], &[], &[1, 2]);
    assert_eq!(told(space.move_in(of(&["nobody"], &[]), &["z"])), []);
}

#[test]
fn nobody_is_moved_into_more_rooms_than_a_socket_may_be_in() {
    let mut space = with(&[(1, "a", &["1", "2", "3"])]);
    let joined = space.move_in(of(&[], &[]), &["4", "5", "1"]);
    assert_eq!(told(joined), [(1, "a".to_owned(), MOVED_UNKNOWN, 0b1)]);
    check(&space, &["5"], &[], &[]);
}

#[test]
fn whoever_is_dismissed_hears_nothing_more_whoever_describes_it() {
    let mut space = with(&[(1, "a", &["x"]), (2, "b", &["x"]), (3, "c", &["x"])]);
    for (slot, worker) in [(1, 7), (2, 8)] {
        space.belongs(key(slot), WorkerId(worker));
    }
    let dismissed = told(space.dismiss(of(&["b", "nobody"], &["c"]), Movement::Close));
    assert_eq!(dismissed, [(2, "b".to_owned(), 0, 0)]);
    check(&space, &[], &[], &[1, 3]);
    check(&space, &["b"], &[], &[]);
    assert_eq!(space.keys(), [key(1), key(2), key(3)], "it is there");
    // Its worker is gone, and the next one says what it was told.
    space.disown(key(2));
    space.set(key(2), "b", "", ("{}", "{}"), &["x"]).unwrap();
    check(&space, &["x"], &[], &[1, 3]);
    assert_eq!(
        space.member(key(2)).unwrap().dismissed,
        Some(Movement::Close)
    );
    // Another socket of the client's is another one.
    space.set(key(2), "b2", "", ("{}", "{}"), &["x"]).unwrap();
    check(&space, &["x"], &[], &[1, 2, 3]);
}

#[test]
fn what_is_kept_is_counted() {
    let mut space = with(&[(1, "abc", &["four", "fives"]), (2, "d", &["four"])]);
    let kept = |members: &[usize], rooms: &[usize]| -> usize {
        members.iter().map(|sid| sid + 4).sum::<usize>() + rooms.iter().sum::<usize>()
    };
    assert_eq!(space.bytes(), kept(&[3, 1], &[4, 5]));
    space.set_data(key(2), "{\"x\":1}").unwrap();
    assert_eq!(space.bytes(), kept(&[3, 1], &[4, 5]) + 5);
    space.leave(key(1), &["fives"]);
    space.remove(key(2));
    assert_eq!(space.bytes(), kept(&[3], &[4]));
    space.set(key(1), "a", "pid", ("{}", "{}"), &[]).unwrap();
    assert_eq!(space.bytes(), kept(&[1], &[]) + 3);
    space.remove(key(1));
    assert!(space.holds_nothing());
}
