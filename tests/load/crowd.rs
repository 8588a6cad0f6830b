//! Many clients that come in together.

use crate::client::{Client, Dial};
use crate::daemon::{Daemon, token};
use std::net::Ipv4Addr;

/// Clients that are on their way in at a time.
const WAVE: usize = 250;
/// Client addresses: default limits let each of them open 1,000 connections at once.
const ADDRESSES: usize = 200;

/// The address of the client of that number.
pub(crate) const fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 1, 1 + (number % ADDRESSES) as u8)
}

/// Opens clients of distinct subjects, each in the rooms that `rooms` names for its number.
pub(crate) fn open(
    daemon: &Daemon,
    numbers: core::ops::Range<usize>,
    receive_bytes: Option<usize>,
    rooms: impl Fn(usize) -> Vec<String>,
) -> Vec<Client> {
    let mut all = Vec::with_capacity(numbers.len());
    for first in numbers.clone().step_by(WAVE) {
        let wave = first..(first + WAVE).min(numbers.end);
        let dial = |number| Dial {
            port: daemon.port,
            source: source(number),
            receive_bytes,
        };
        let mut clients: Vec<Client> = wave
            .clone()
            .map(|number| Client::dial(dial(number)))
            .collect();
        clients.iter_mut().for_each(Client::ask_upgrade);
        clients.iter_mut().for_each(Client::read_upgrade);
        for (client, number) in clients.iter_mut().zip(wave.clone()) {
            client.ask_connect(&token(&format!("subject-{number}")));
        }
        clients.iter_mut().for_each(Client::read_connect);
        let rooms: Vec<Vec<String>> = wave.map(&rooms).collect();
        for (client, rooms) in clients.iter_mut().zip(&rooms) {
            rooms.iter().for_each(|room| client.ask_join(room));
        }
        for (client, rooms) in clients.iter_mut().zip(&rooms) {
            for _ in rooms {
                client.read_ack();
            }
        }
        all.append(&mut clients);
    }
    all
}
