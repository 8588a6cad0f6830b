//! What peers may cost: rates per connection, user and address; connections per address.
//!
//! Deliberately absent: the rate of a room, which its home counts.

mod bucket;
mod bytes;
mod table;

pub use bucket::{Rate, TokenBucket};
pub use bytes::{Allowance, ByteBucket, ByteRate, allow};

use crate::hub::Seed;
use crate::refusal::Refusal;
use crate::time::Now;
use core::hash::BuildHasher;
use std::net::IpAddr;
use table::{Digest, Number, Table};

/// Rates and bursts; a rate of zero means unlimited.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    /// Events of a connection.
    pub connection_events: Rate,
    /// Events of a user.
    pub user_events: Rate,
    /// Messages of a room.
    pub room_messages: Rate,
    /// Events of an address.
    pub address_events: Rate,
    /// New connections of an address.
    pub address_connections: Rate,
    /// Connections of an address at a time; zero means unlimited.
    pub address_connections_max: u32,
    /// Bytes of files for a connection.
    pub connection_download: ByteRate,
    /// Bytes of files for a user.
    pub user_download: ByteRate,
}

/// The buckets of one shard.
pub(crate) struct Limits {
    rates: RateLimits,
    seed: Seed,
    users: Table,
    /// Users whose uploads' progress is told: apart from their events, or whoever uploads much could say nothing.
    progress: Table,
    /// Users that are sent files.
    downloads: Table<ByteBucket>,
    addresses: Table,
    connects: Table,
}

/// What counts as one address: an IPv6 user has a whole /64, and an IPv4 address has a place of its own in that space (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(u128);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

/// A connection's place in the count of its address. Whoever got it gives it back, once: a place that is guessed from the address
/// would be taken from somebody else when the connection had been refused, or its client changed.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Place(Number);

impl Limits {
    pub(crate) fn new(rates: RateLimits, seed: u64) -> Self {
        Self {
            rates,
            seed: Seed::new(!seed),
            users: Table::new(),
            progress: Table::new(),
            downloads: Table::new(),
            addresses: Table::new(),
            connects: Table::new(),
        }
    }

    fn user(&self, name: &str) -> Digest {
        Digest(self.seed.hash_one(name))
    }

    fn network(&self, address: IpAddr) -> Digest {
        Digest(self.seed.hash_one(Network::of(address)))
    }

    pub(crate) fn reload(&mut self, rates: RateLimits) {
        self.rates = rates;
    }

    /// A connection from `address` wants in.
    pub(crate) fn connect(&mut self, now: Now, address: IpAddr) -> Result<Place, Refusal> {
        let max = self.rates.address_connections_max;
        let network = self.network(address);
        let (entry, number) = self.connects.entry(now, network);
        let rate = self.rates.address_connections;
        if (max > 0 && entry.count >= max) || !entry.bucket.take(now.monotonic_us, rate) {
            return Err(Refusal::AddressConnections);
        }
        entry.count += 1;
        Ok(Place(number))
    }

    /// A connection for a session of `address` that was let in before: it costs a place, and no new connection.
    pub(crate) fn connect_again(&mut self, now: Now, address: IpAddr) -> Result<Place, Refusal> {
        let max = self.rates.address_connections_max;
        let network = self.network(address);
        let (entry, _) = self.connects.entry(now, network);
        if max > 0 && entry.count >= max {
            return Err(Refusal::AddressConnections);
        }
        Ok(self.count(now, address))
    }

    /// A session of `address` wants in, on a connection that was let in.
    pub(crate) fn session(&mut self, now: Now, address: IpAddr) -> Result<(), Refusal> {
        let rate = self.rates.address_connections;
        let network = self.network(address);
        let (entry, _) = self.connects.entry(now, network);
        if entry.bucket.take(now.monotonic_us, rate) {
            Ok(())
        } else {
            Err(Refusal::AddressConnections)
        }
    }

    /// A connection from `address` was let in before this shard began, and is only counted.
    pub(crate) fn count(&mut self, now: Now, address: IpAddr) -> Place {
        let network = self.network(address);
        let (entry, number) = self.connects.entry(now, network);
        entry.count += 1;
        Place(number)
    }

    pub(crate) fn disconnect(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            self.connects.release(place.0);
        }
    }

    /// One event of a session. `bucket` is the connection's own.
    pub(crate) fn event(
        &mut self,
        now: Now,
        bucket: &mut TokenBucket,
        user: Option<&str>,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        if !bucket.take(now.monotonic_us, self.rates.connection_events) {
            return Err(Refusal::RateConnection);
        }
        self.event_without_session(now, user, address)
    }

    /// What a request does that costs others what an event does.
    pub(crate) fn event_without_session(
        &mut self,
        now: Now,
        user: Option<&str>,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let network = self.network(address);
        let user = user.map(|name| self.user(name));
        let (now_us, rates) = (now.monotonic_us, &self.rates);
        if let Some(user) = user {
            let (entry, _) = self.users.entry(now, user);
            if !entry.bucket.take(now_us, rates.user_events) {
                return Err(Refusal::RateUser);
            }
        }
        let (entry, _) = self.addresses.entry(now, network);
        if !entry.bucket.take(now_us, rates.address_events) {
            return Err(Refusal::RateAddress);
        }
        Ok(())
    }

    /// Whether a word about the progress of one of a user's uploads may go to its room: as many as the user may send events.
    pub(crate) fn progress(&mut self, now: Now, user: &str) -> bool {
        let user = self.user(user);
        let (entry, _) = self.progress.entry(now, user);
        entry.bucket.take(now.monotonic_us, self.rates.user_events)
    }

    /// Whether bytes of files for this user are counted at all.
    pub(crate) const fn shapes(&self, user: Option<&str>) -> bool {
        let rates = &self.rates;
        let counts_user = user.is_some() && rates.user_download.per_second > 0;
        counts_user || rates.connection_download.per_second > 0
    }

    /// Whether bytes of files for this user are counted, all connections together.
    pub(crate) const fn shapes_user(&self) -> bool {
        self.rates.user_download.per_second > 0
    }

    /// Whether it is the user's rate, and not a connection's own, that has a file wait.
    pub(crate) fn user_waits(&mut self, now: Now, user: &str, (wanted, least): (u64, u64)) -> bool {
        let user = self.user(user);
        let (entry, _) = self.downloads.entry(now, user);
        let rate = self.rates.user_download;
        entry.bucket.is_short(now.monotonic_us, rate, wanted, least)
    }

    /// Bytes of a file. `bucket` is the connection's own; of what is wanted less than `least` is not worth a send.
    pub(crate) fn download(
        &mut self,
        now: Now,
        bucket: &mut ByteBucket,
        user: Option<&str>,
        (wanted, least): (u64, u64),
    ) -> Allowance {
        let own = (bucket, self.rates.connection_download);
        let Some(user) = user else {
            return allow(now.monotonic_us, wanted, least, &mut [own]);
        };
        let user = self.user(user);
        let (entry, _) = self.downloads.entry(now, user);
        let shared = (&mut entry.bucket, self.rates.user_download);
        allow(now.monotonic_us, wanted, least, &mut [own, shared])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Now = Now {
        monotonic_us: 0,
        unix_ms: 0,
    };

    #[test]
    fn connections_of_an_address_are_counted_and_let_go() {
        let rates = RateLimits {
            address_connections_max: 2,
            ..RateLimits::default()
        };
        let mut limits = Limits::new(rates, 1);
        let address = IpAddr::from([1, 2, 3, 4]);
        let first = limits.connect(START, address).ok();
        let _second = limits.connect(START, address).unwrap();
        assert_eq!(
            limits.connect(START, address),
            Err(Refusal::AddressConnections)
        );
        limits.disconnect(first);
        assert!(limits.connect(START, address).is_ok());
    }

    #[test]
    fn newcomers_of_a_full_table_are_counted_and_let_go() {
        let rates = RateLimits {
            address_connections_max: 2,
            ..RateLimits::default()
        };
        let mut limits = Limits::new(rates, 1);
        let mut now = START;
        let address = |number: u32| IpAddr::from((number + 1).to_be_bytes());
        let mut places: Vec<Option<Place>> = (0..65_536)
            .map(|number| limits.connect(now, address(number)).ok())
            .collect();
        let late = address(100_000);
        for _ in 0..10 {
            let shared = limits.connect(now, late).ok();
            assert_eq!(shared, Some(Place(Number::SHARED)));
            limits.disconnect(places[7].take());
            now.monotonic_us += 1_000_000;
            // There is room again: the same address has an entry of its own now.
            let own = limits.connect(now, late).ok();
            assert_ne!(own, shared);
            limits.disconnect(own);
            limits.disconnect(shared);
            now.monotonic_us += 1_000_000;
            places[7] = limits.connect(now, address(7)).ok();
            assert!(places[7].is_some());
        }
    }

    #[test]
    fn bytes_of_files_are_counted_by_connection_and_by_user() {
        let rate = |per_second| ByteRate {
            per_second,
            burst: 1000,
        };
        let rates = RateLimits {
            connection_download: rate(1000),
            user_download: rate(2000),
            ..RateLimits::default()
        };
        let mut limits = Limits::new(rates, 1);
        let mut buckets = [ByteBucket::new(); 2];
        let mut take = |limits: &mut Limits, at: usize, user, seconds: u64| {
            let now = Now {
                monotonic_us: seconds * 1_000_000,
                ..START
            };
            limits.download(now, &mut buckets[at], user, (1000, 1000))
        };
        let (all, later) = (Allowance::Now(1000), Allowance::At(1_000_000));
        assert_eq!(take(&mut limits, 0, Some("anna"), 0), all);
        assert_eq!(take(&mut limits, 0, Some("anna"), 0), later);
        // Another connection of hers waits for what she gets; somebody else does not, nor does whoever is nobody.
        let half = Allowance::At(500_000);
        assert_eq!(take(&mut limits, 1, Some("anna"), 0), half);
        assert!(limits.user_waits(START, "anna", (1000, 1000)));
        assert!(!limits.user_waits(START, "bert", (1000, 1000)));
        assert_eq!(take(&mut limits, 1, Some("bert"), 0), all);
        assert_eq!(take(&mut limits, 1, None, 1), all);
        assert!(limits.shapes(None) && limits.shapes(Some("anna")));
        limits.reload(RateLimits {
            user_download: rate(1),
            ..RateLimits::default()
        });
        assert!(!limits.shapes(None) && limits.shapes(Some("anna")));
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        let c: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(Network::of(a), Network::of(b));
        assert_ne!(Network::of(a), Network::of(c));
        assert_eq!(
            Network::of("::ffff:1.2.3.4".parse().unwrap()),
            Network::of(IpAddr::from([1, 2, 3, 4]))
        );
    }
}
