//! Several applications behind one daemon: which of them a namespace is of, and what each calls its own.
//!
//! A client's connection is one, and each application whose namespaces it speaks to knows it by a number of its own (a *leg*, `session/upstream`), with a
//! worker of its own. The first application is the *main* one: it has the namespace `/`, all that no other one has, and the word about the connection
//! itself (BIND, HS_REQ, CONN_ERROR). Deliberately absent: workers and clients, which only know their application's id.

use super::mail::SpaceId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Applications at a time, the main one among them.
pub const APPLICATIONS_MAX: usize = 16;

/// An application's place in the configuration.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub(crate) struct AppId(pub(crate) u8);

impl AppId {
    pub(crate) const MAIN: Self = Self(0);
}

/// An application beside the main one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// What its workers say in HELLO.
    pub name: String,
    /// The namespaces that nobody else may have, be its workers there or not; `*` at the end of a name stands for anything.
    pub namespaces: Vec<String>,
}

/// What the configuration says of namespaces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reserved {
    exact: HashMap<Box<str>, AppId>,
    /// Names without their `*`, the longest first.
    prefixes: Vec<(Box<str>, AppId)>,
    are_several: bool,
}

impl Reserved {
    pub(crate) fn new(others: &[Application]) -> Self {
        let mut reserved = Self {
            are_several: !others.is_empty(),
            ..Self::default()
        };
        for (at, application) in others.iter().enumerate() {
            for name in &application.namespaces {
                reserved.add(name, AppId(at as u8 + 1));
            }
        }
        let prefixes = &mut reserved.prefixes;
        prefixes.sort_by_key(|(prefix, _)| core::cmp::Reverse(prefix.len()));
        reserved
    }

    fn add(&mut self, name: &str, app: AppId) {
        match name.strip_suffix('*') {
            Some(prefix) => self.prefixes.push((prefix.into(), app)),
            None => {
                self.exact.insert(name.into(), app);
            }
        }
    }

    /// Whose a namespace is, whatever workers say.
    fn owner(&self, name: &str) -> Option<AppId> {
        if name == "/" {
            return Some(AppId::MAIN);
        }
        let exact = self.exact.get(name).copied();
        exact.or_else(|| {
            let mut prefixes = self.prefixes.iter();
            let found = prefixes.find(|(prefix, _)| name.starts_with(&**prefix));
            found.map(|(_, app)| *app)
        })
    }
}

/// Where what a client says to a namespace goes: to whom it is reserved, else to whoever has named it, else to the main application, which may have
/// dynamic namespaces, and refuses what it does not know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    reserved: Reserved,
    named: HashMap<Rc<str>, AppId>,
}

impl Routes {
    pub(crate) fn new(reserved: Reserved) -> Self {
        let named = HashMap::new();
        Self { reserved, named }
    }

    /// Whether there is more than the main application.
    pub(crate) const fn are_several(&self) -> bool {
        self.reserved.are_several
    }

    /// Whose the configuration says that a namespace is.
    pub(crate) fn owner(&self, name: &str) -> Option<AppId> {
        self.reserved.owner(name)
    }

    pub(crate) fn note(&mut self, name: &Rc<str>, app: AppId) {
        self.named.insert(Rc::clone(name), app);
    }

    /// An application has a namespace no more. It may be another one's by now.
    pub(crate) fn forget(&mut self, name: &str, app: AppId) {
        if self.named.get(name) == Some(&app) {
            self.named.remove(name);
        }
    }

    /// Whether it is an application's that has named it.
    pub(crate) fn knows(&self, name: &str, app: AppId) -> bool {
        self.named.get(name) == Some(&app)
    }

    pub(crate) fn of(&self, name: &str) -> AppId {
        if !self.are_several() {
            return AppId::MAIN;
        }
        let owner = self.reserved.owner(name);
        let owner = owner.or_else(|| self.named.get(name).copied());
        owner.unwrap_or(AppId::MAIN)
    }
}

/// The namespace of a packet, whoever says it.
pub(crate) fn namespace_of(packet: &str) -> &str {
    let rest = packet.get(1..).unwrap_or_default();
    let rest = match packet.as_bytes().first() {
        Some(b'5' | b'6') => rest.split_once('-').map_or(rest, |(_, rest)| rest),
        _ => rest,
    };
    if !rest.starts_with('/') {
        return "/";
    }
    let name = rest.split(',').next().unwrap_or(rest);
    // What is asked of a namespace goes behind its name.
    name.split('?').next().unwrap_or(name)
}

/// The namespaces of all applications, by what each calls them: every server has a `/` of its own, though clients reach only one.
#[derive(Debug, Default)]
pub(super) struct Names {
    of: BTreeMap<AppId, BTreeMap<Rc<str>, SpaceId>>,
    by_id: HashMap<SpaceId, (AppId, Rc<str>)>,
}

impl Names {
    pub(super) fn get(&self, app: AppId, name: &str) -> Option<SpaceId> {
        self.of.get(&app)?.get(name).copied()
    }

    pub(super) fn key(&self, app: AppId, name: &str) -> Option<Rc<str>> {
        let (name, _) = self.of.get(&app)?.get_key_value(name)?;
        Some(Rc::clone(name))
    }

    /// What an application calls a namespace.
    pub(super) fn find(&self, app: AppId, space: SpaceId) -> Option<Rc<str>> {
        let (owner, name) = self.by_id.get(&space)?;
        (*owner == app).then(|| Rc::clone(name))
    }

    /// How many an application has.
    pub(super) fn len(&self, app: AppId) -> usize {
        self.of.get(&app).map_or(0, BTreeMap::len)
    }

    pub(super) fn insert(&mut self, app: AppId, name: Rc<str>, space: SpaceId) {
        self.by_id.insert(space, (app, Rc::clone(&name)));
        self.of.entry(app).or_default().insert(name, space);
    }

    pub(super) fn remove(&mut self, app: AppId, name: &str) -> Option<SpaceId> {
        let space = self.of.get_mut(&app)?.remove(name)?;
        self.by_id.remove(&space);
        Some(space)
    }

    /// An application's, in the order of their names.
    pub(super) fn all(&self, app: AppId) -> impl Iterator<Item = (&Rc<str>, SpaceId)> {
        let names = self.of.get(&app).into_iter().flatten();
        names.map(|(name, space)| (name, *space))
    }

    /// Other applications that have a namespace of the name.
    pub(super) fn others(&self, app: AppId, name: &str) -> Vec<(AppId, SpaceId)> {
        let others = self.of.iter().filter(|(other, _)| **other != app);
        let others = others.filter_map(|(other, names)| Some((*other, *names.get(name)?)));
        others.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let of = |name: &str, namespaces: &[&str]| Application {
            name: name.to_owned(),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
        };
        let others = [
            of("shop", &["/orders", "/tenant-*"]),
            of("chat", &["/tenant-7*", "/"]),
        ];
        Routes::new(Reserved::new(&others))
    }

    #[test]
    fn a_namespace_is_of_whom_it_is_reserved_for_then_of_whoever_named_it_then_of_the_main_one() {
        let mut routes = routes();
        routes.note(&"/news".into(), AppId(2));
        routes.note(&"/orders".into(), AppId(0));
        for (name, app) in [
            ("/orders", 1),
            ("/orders2", 0),
            ("/tenant-1", 1),
            ("/tenant-77", 2),
            ("/news", 2),
            ("/other", 0),
            // Whatever the configuration says: it is checked there.
            ("/", 0),
        ] {
            assert_eq!(routes.of(name), AppId(app), "{name}");
        }
        routes.forget("/news", AppId(1));
        assert_eq!(routes.of("/news"), AppId(2), "it is another one's");
        routes.forget("/news", AppId(2));
        assert_eq!(routes.of("/news"), AppId::MAIN);
    }

    #[test]
    fn a_packet_names_its_namespace() {
        for (packet, name) in [
            ("2[\"a\"]", "/"),
            ("0", "/"),
            ("", "/"),
            ("0/a", "/a"),
            ("0/a?token=1,{}", "/a"),
            ("1/a,", "/a"),
            ("2/a,7[\"/b,\"]", "/a"),
            ("52-/a,7[\"x\"]", "/a"),
            ("52-[\"/a,\"]", "/"),
            ("3/a,1[]", "/a"),
        ] {
            assert_eq!(namespace_of(packet), name, "{packet}");
        }
    }
}
