//! What is done to a server: one row of the table, as TOML under `bench/scenarios`.

use crate::bulk::Bulk;
use crate::fetch::Wanted;
use crate::measures::Measure;
use crate::upload::Sent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What [`Scenario::quick`] leaves.
const QUICK_ROOMS: usize = 4;
const QUICK_MEMBERS: usize = 8;
const QUICK_CONNECTIONS: usize = 32;
const QUICK_RATE: u64 = 200;
const QUICK_MS: u64 = 250;

/// Short names of those that are asked for most.
const ALIASES: [(&str, &str); 2] = [("fanout", "fanout-1000"), ("echo", "echo-64")];

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// One line for people.
    pub(crate) what: String,
    pub(crate) load: Kind,
    /// Connections; for `churn`, those under way at a time.
    pub(crate) connections: usize,
    /// Rooms over which the connections are spread evenly, one room for each; `idle` puts everybody into two.
    #[serde(default)]
    pub(crate) rooms: usize,
    /// Bytes of what is echoed or published.
    #[serde(default = "default_payload_bytes")]
    pub(crate) payload_bytes: usize,
    /// Publishes that some member has not got yet; 0 where `publishes_per_second` says when.
    #[serde(default)]
    pub(crate) outstanding: usize,
    /// Publishes, or things said, by the clock, whether the server keeps up or not.
    #[serde(default)]
    pub(crate) publishes_per_second: u64,
    /// Members that stop reading before the load begins, spread evenly over the rooms.
    #[serde(default)]
    pub(crate) stalled: usize,
    /// Time for the server to come to rest before its memory is looked at.
    #[serde(default = "default_rest_ms")]
    pub(crate) rest_ms: u64,
    #[serde(default = "default_warm_up_ms")]
    pub(crate) warm_up_ms: u64,
    #[serde(default = "default_measured_ms")]
    pub(crate) measured_ms: u64,
    /// Shards of servers that have such.
    #[serde(default = "default_shards")]
    pub(crate) shards: u16,
    /// CPUs of the server, and of the load.
    #[serde(default = "default_server_cpus")]
    pub(crate) server_cpus: Vec<usize>,
    #[serde(default = "default_load_cpus")]
    pub(crate) load_cpus: Vec<usize>,
    /// Rates are the server's default; otherwise so high that they refuse nothing.
    #[serde(default)]
    pub(crate) default_rates: bool,
    /// Time between two looks at the server's memory, for its slope; 0 for none.
    #[serde(default)]
    pub(crate) sample_ms: u64,
    /// Whether it belongs to the table that is made when no scenario is named.
    #[serde(default)]
    pub(crate) in_table: bool,
    /// The only servers to which it is done; all of them when there are none.
    #[serde(default)]
    pub(crate) servers: Vec<String>,
    /// Another scenario beside whose cost this one's is put, for the same server.
    #[serde(default)]
    pub(crate) beside: Option<String>,
    /// What `fetch` asks for.
    #[serde(default)]
    pub(crate) fetch: Option<Wanted>,
    /// What `upload` does.
    #[serde(default)]
    pub(crate) upload: Option<Sent>,
    /// Who fetches files of the same server meanwhile.
    #[serde(default)]
    pub(crate) bulk: Option<Bulk>,
    /// What the table shows of it.
    pub(crate) shows: Vec<Measure>,
}

const fn default_payload_bytes() -> usize {
    64
}

const fn default_rest_ms() -> u64 {
    200
}

const fn default_warm_up_ms() -> u64 {
    1_000
}

const fn default_measured_ms() -> u64 {
    3_000
}

const fn default_shards() -> u16 {
    1
}

fn default_server_cpus() -> Vec<usize> {
    vec![0]
}

fn default_load_cpus() -> Vec<usize> {
    vec![1]
}

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Nothing but answer pings.
    Idle,
    /// Each has one echo under way.
    Echo,
    /// They say things that nobody acknowledges, by the clock.
    Say,
    /// One member of each room publishes to it.
    Publish,
    /// They connect, shake hands and close, again and again.
    Churn,
    /// They ask for files, one request after the other.
    Fetch,
    /// They upload by tus 1.0.0 and remove what they have uploaded, each one upload at a time.
    Upload,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The file's name, and what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        let scenario: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        scenario.check().map_err(|error| wrong(&error))?;
        Ok(scenario)
    }

    /// All of a folder, by the names of their files.
    ///
    /// # Errors
    /// The first file's name that is wrong, and what is wrong with it.
    pub(crate) fn read_all(folder: &Path) -> Result<BTreeMap<String, Self>, String> {
        let files =
            std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let paths = paths.filter(|path| path.extension().is_some_and(|kind| kind == "toml"));
        let named = paths.filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            Some(Self::read(&path).map(|scenario| (name, scenario)))
        });
        named.collect()
    }

    /// The whole name of a scenario of which somebody wrote the name, a short name, or a beginning that no other has.
    pub(crate) fn whole_name<'a>(
        all: &'a BTreeMap<String, Self>,
        written: &'a str,
    ) -> Result<&'a str, String> {
        let alias = ALIASES.iter().find(|(short, _)| *short == written);
        let name = alias.map_or(written, |(_, name)| name);
        if let Some((name, _)) = all.get_key_value(name) {
            return Ok(name);
        }
        let names = all.keys().map(String::as_str);
        let begun: Vec<&str> = names.clone().filter(|one| one.starts_with(name)).collect();
        match *begun {
            [name] => Ok(name),
            [] => Err(format!(
                "no scenario {written}; there are {:?}",
                names.collect::<Vec<_>>()
            )),
            _ => Err(format!("{written} may be any of {begun:?}")),
        }
    }

    /// The same with a handful of connections and for a moment: whether everything works, not how fast.
    #[must_use]
    pub(crate) fn quick(mut self, load_cpus: Vec<usize>) -> Self {
        if self.rooms > 0 {
            let members = self.members_of_room().min(QUICK_MEMBERS);
            self.rooms = self.rooms.min(QUICK_ROOMS);
            self.connections = self.rooms * members;
        }
        self.connections = self.connections.min(QUICK_CONNECTIONS);
        self.stalled = self.stalled.min(self.rooms);
        self.publishes_per_second = self.publishes_per_second.min(QUICK_RATE);
        (self.rest_ms, self.warm_up_ms, self.measured_ms) = (0, 50, QUICK_MS);
        self.sample_ms = self.sample_ms.min(50);
        self.fetch = self.fetch.map(Wanted::quick);
        self.upload = self.upload.map(Sent::quick);
        self.bulk = self.bulk.map(Bulk::quick);
        (self.server_cpus, self.load_cpus) = (default_server_cpus(), load_cpus);
        self
    }

    fn check(&self) -> Result<(), &'static str> {
        let publishes = self.load == Kind::Publish;
        let is_open = self.publishes_per_second > 0;
        match () {
            () if self.connections == 0 => Err("it has no connections"),
            () if (self.load == Kind::Fetch) != self.fetch.is_some() => {
                Err("fetching, and nothing else, wants [fetch]")
            }
            () if self.bulk.is_some() && matches!(self.load, Kind::Fetch | Kind::Upload) => {
                Err("bulk is beside clients that say something")
            }
            () if self.files().is_some_and(|fetch| !fetch.is_possible()) => {
                Err("what it fetches has bytes, and its ranges fit into it")
            }
            () if publishes && (self.outstanding > 0) == is_open => {
                Err("publishing wants either outstanding or publishes_per_second")
            }
            () if self.load == Kind::Say && !is_open => Err("saying wants publishes_per_second"),
            () if publishes && self.rooms == 0 => Err("publishing wants rooms"),
            () if publishes && !self.connections.is_multiple_of(self.rooms) => {
                Err("rooms divide the connections")
            }
            () if self.payload_bytes < crate::stamp::STAMP_BYTES => {
                Err("payload_bytes has no room for the stamp")
            }
            () if self.stalled > 0 && !is_open => {
                Err("who waits for members that do not read waits for ever")
            }
            () if self.stalled > 0 && !self.stalled.is_multiple_of(self.rooms) => {
                Err("rooms divide the stalled")
            }
            () if self.stalled > 0 && self.stalled + self.rooms > self.connections => {
                Err("the first of each room reads")
            }
            () => Ok(()),
        }
    }

    /// The files that somebody fetches.
    pub(crate) fn files(&self) -> Option<&Wanted> {
        let bulk = self.bulk.as_ref().map(|bulk| &bulk.fetch);
        self.fetch.as_ref().or(bulk)
    }

    /// Whether server and load may run on the same CPU.
    pub(crate) fn shares_cpus(&self) -> bool {
        self.server_cpus
            .iter()
            .any(|cpu| self.load_cpus.contains(cpu))
    }

    /// Whether it is the same for a server, however it is described and whatever the table shows of it.
    pub(crate) fn does_the_same(&self, other: &Self) -> bool {
        let done = |scenario: &Self| Self {
            what: String::new(),
            in_table: false,
            servers: Vec::new(),
            beside: None,
            shows: Vec::new(),
            ..scenario.clone()
        };
        done(self) == done(other)
    }

    /// The CPUs of server and load, each once.
    pub(crate) fn cpus(&self) -> Vec<usize> {
        let mut cpus = [&*self.server_cpus, &*self.load_cpus].concat();
        cpus.sort_unstable();
        cpus.dedup();
        cpus
    }

    /// All connections, where there are no rooms.
    pub(crate) const fn members_of_room(&self) -> usize {
        match self.connections.checked_div(self.rooms) {
            Some(members) => members,
            None => self.connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_tree_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let all = Scenario::read_all(&folder).unwrap();
        for (name, scenario) in &all {
            assert!(
                !scenario.what.is_empty() && !scenario.shows.is_empty(),
                "{name}"
            );
            let beside = scenario.beside.iter();
            beside.for_each(|other| assert!(all.contains_key(other), "{name}: {other}"));
            let quick = scenario.clone().quick(vec![0]);
            quick
                .check()
                .unwrap_or_else(|error| panic!("{name}, quick: {error}"));
            assert!(quick.connections <= QUICK_CONNECTIONS, "{name}");
        }
        assert!(all.len() >= 15, "{} scenarios", all.len());
    }

    #[test]
    fn a_short_name_is_whole_or_has_one_meaning() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let all = Scenario::read_all(&folder).unwrap();
        let whole = |written| Scenario::whole_name(&all, written);
        assert_eq!(whole("fanout"), Ok("fanout-1000"));
        assert_eq!(whole("echo"), Ok("echo-64"));
        assert_eq!(whole("fanout-10000"), Ok("fanout-10000"));
        assert_eq!(whole("chu"), Ok("churn"));
        let (many, none) = (whole("nest-e").unwrap_err(), whole("never").unwrap_err());
        assert!(many.starts_with("nest-e may be any of"), "{many}");
        assert!(none.starts_with("no scenario never"), "{none}");
        whole("").unwrap_err();
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let base = "what = \"x\"\nload = \"publish\"\nconnections = 10\nshows = []\n";
        for (rest, problem) in [
            ("rooms = 1", "either"),
            (
                "rooms = 1\noutstanding = 1\npublishes_per_second = 1",
                "either",
            ),
            (
                "rooms = 1\noutstanding = 1\n[fetch]\nfile_bytes = 1",
                "[fetch]",
            ),
            ("rooms = 3\noutstanding = 1", "divide"),
            ("outstanding = 1", "wants rooms"),
            ("rooms = 1\noutstanding = 1\npayload_bytes = 3", "stamp"),
            ("rooms = 1\noutstanding = 1\nstalled = 1", "for ever"),
            ("rooms = 2\npublishes_per_second = 1\nstalled = 1", "divide"),
            (
                "rooms = 5\npublishes_per_second = 1\nstalled = 10",
                "the first",
            ),
        ] {
            let scenario: Scenario = toml::from_str(&format!("{base}{rest}")).unwrap();
            let error = scenario.check().unwrap_err();
            assert!(error.contains(problem), "{rest}: {error}");
        }
    }
}
