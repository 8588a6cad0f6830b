//! Clients that say something get the worker of what they say: the same one each time, and another one only when it is gone.

use super::applications::AppId;
use super::mail::ToLinks;
use super::stage::Stage;
use super::window::Window;
use crate::time::ConnId;
use ringway_proto::link::{Frame, GoAway, GoAwayMode, Hello, Json};
use std::collections::BTreeMap;

const VALUES: u64 = 300;
const REQUEST: &str = r#"{"method":"GET","url":"/","headers":[],"address":"::1","secure":false}"#;

/// Who gets a client of each value, by opening it; it leaves again.
fn places(stage: &mut Stage, workers: &[ConnId], first: u64) -> BTreeMap<u64, ConnId> {
    let mut places = BTreeMap::new();
    for value in 0..VALUES {
        stage.open_with((AppId::MAIN, Some(value)), first + value, &[]);
    }
    for conn in workers {
        for frame in stage.heard_all(*conn) {
            let number = frame.strip_prefix("OPEN ");
            let number = number.map(|number| number.parse::<u64>().expect("a number"));
            places.extend(number.map(|number| (number - first, *conn)));
        }
    }
    (0..VALUES).for_each(|value| stage.close(first + value));
    workers.iter().for_each(|conn| drop(stage.heard_all(*conn)));
    places
}

fn count(places: &BTreeMap<u64, ConnId>, conn: ConnId) -> usize {
    places.values().filter(|other| **other == conn).count()
}

#[test]
fn a_value_has_its_worker_and_a_worker_that_is_gone_moves_its_own_alone() {
    let mut stage = Stage::new(Window::default());
    let workers = ["a", "b", "c"].map(|name| stage.worker(name));
    let before = places(&mut stage, &workers, 1_000);
    assert_eq!(before.len(), VALUES as usize);
    for conn in workers {
        let share = count(&before, conn);
        assert!((60..=140).contains(&share), "{share}");
    }
    assert_eq!(places(&mut stage, &workers, 2_000), before);

    stage.kill(workers[0]);
    let after = places(&mut stage, &workers[1..], 3_000);
    assert_eq!(after.len(), VALUES as usize);
    for (value, conn) in &before {
        let stays = *conn == workers[0] || after[value] == *conn;
        assert!(stays, "{value}");
    }
    // It comes back as the one that it was: so does what it had.
    let again = stage.worker("a");
    let back = places(&mut stage, &[again, workers[1], workers[2]], 4_000);
    for (value, conn) in &before {
        let expected = if *conn == workers[0] { again } else { *conn };
        assert_eq!(back[value], expected, "{value}");
    }
}

#[test]
fn a_weight_is_a_share() {
    let mut stage = Stage::new(Window::default());
    let light = stage.worker("a");
    let heavy = stage.accept();
    let json = Json::new(Hello {
        proto: [1, 0],
        app: "default".into(),
        instance: "b".into(),
        role: "worker".into(),
        nonce: "0".repeat(32).into(),
        name: None,
        weight: Some(3),
        resume: None,
        caps: None,
    });
    stage.say(heavy, 0, &Frame::Hello { json, mac: "" });
    let places = places(&mut stage, &[light, heavy], 1_000);
    let share = count(&places, light);
    assert!(
        (45..=105).contains(&share),
        "a quarter of {VALUES}: {share}"
    );
}

#[test]
fn who_says_nothing_goes_to_the_least_loaded() {
    let mut stage = Stage::new(Window::default());
    let workers = ["a", "b"].map(|name| stage.worker(name));
    for number in 1..=10 {
        stage.open(number, &[]);
    }
    for conn in workers {
        assert_eq!(stage.heard_all(conn).len(), 5);
    }
}

#[test]
fn a_worker_that_leaves_gets_nobody_by_what_they_say() {
    let mut stage = Stage::new(Window::default());
    let workers = ["a", "b"].map(|name| stage.worker(name));
    let json = Json::new(GoAway {
        mode: GoAwayMode::Migrate,
        reason: "deploy".into(),
        deadline_ms: 10_000,
    });
    stage.say(workers[0], 0, &Frame::GoAway { json });
    let places = places(&mut stage, &workers, 1_000);
    assert_eq!(count(&places, workers[1]), VALUES as usize);
}

#[test]
fn who_is_asked_about_a_client_is_who_has_it_then() {
    let mut stage = Stage::new(Window::default());
    let workers = ["a", "b", "c"].map(|name| stage.worker(name));
    let before = places(&mut stage, &workers, 1_000);
    for value in 0..20 {
        stage.mail(&ToLinks::Ask {
            shard: 0,
            question: value as u32,
            affinity: Some(value),
            json: REQUEST,
        });
        let asked = workers.into_iter().find(|conn| {
            let frames = stage.heard_all(*conn);
            frames.iter().any(|frame| frame.starts_with("HS_REQ"))
        });
        assert_eq!(asked, Some(before[&value]), "{value}");
    }
}
