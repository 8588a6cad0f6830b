//! The namespaces that a session has joined.
//!
//! Deliberately absent: whether it may, and what is told to whom.

use super::SocketId;
use crate::auth::Identity;
use serde::{Deserialize, Serialize};

/// What most clients join and nothing else.
const ROOT: &str = "/";

/// A namespace that a client has joined, but for its name.
#[derive(Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// The id that the client sees.
    pub(crate) id: SocketId,
    /// Nobody in particular when `--dev` lets anonymous clients in.
    pub(crate) identity: Option<Identity>,
}

/// Namespaces by name. `/` alone owns no memory.
#[derive(Serialize, Deserialize)]
pub(crate) struct Namespaces(Form);

#[derive(Serialize, Deserialize)]
enum Form {
    Root(Namespace),
    Many(Vec<(Box<str>, Namespace)>),
}

const _: () = assert!(size_of::<Namespaces>() <= 48, "each session has them");

impl Namespaces {
    pub(super) const fn new() -> Self {
        Self(Form::Many(Vec::new()))
    }

    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Form::Root(_) => 1,
            Form::Many(many) => many.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        let (root, many) = match &self.0 {
            Form::Root(root) => (Some((ROOT, root)), &[][..]),
            Form::Many(many) => (None, &many[..]),
        };
        let many = many.iter().map(|(name, namespace)| (&**name, namespace));
        root.into_iter().chain(many)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Namespace> {
        let found = self.iter().find(|(joined, _)| *joined == name);
        found.map(|(_, namespace)| namespace)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Namespace> {
        match &mut self.0 {
            Form::Root(root) => (name == ROOT).then_some(root),
            Form::Many(many) => {
                let found = many.iter_mut().find(|(joined, _)| **joined == *name);
                found.map(|(_, namespace)| namespace)
            }
        }
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, name: &str, namespace: Namespace) {
        if self.is_empty() && name == ROOT {
            self.0 = Form::Root(namespace);
            return;
        }
        let before = core::mem::replace(&mut self.0, Form::Many(Vec::new()));
        let mut many = match before {
            Form::Root(root) => vec![(ROOT.into(), root)],
            Form::Many(many) => many,
        };
        many.push((name.into(), namespace));
        self.0 = Form::Many(many);
    }

    /// Takes one out; whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.len();
        match &mut self.0 {
            Form::Root(_) if name == ROOT => *self = Self::new(),
            Form::Root(_) => {}
            Form::Many(many) => many.retain(|(joined, _)| **joined != *name),
        }
        self.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["/", "/a", "/b"];

    fn namespace(number: u64) -> Namespace {
        Namespace {
            id: SocketId::new([number, number]),
            identity: None,
        }
    }

    fn names(namespaces: &Namespaces) -> Vec<String> {
        namespaces.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Each order of coming and going, beside a plain list.
    #[test]
    fn they_are_those_of_a_list() {
        for steps in 0..6_usize.pow(5) {
            let (mut namespaces, mut list) = (Namespaces::new(), Vec::new());
            for at in 0..5 {
                let step = steps / 6_usize.pow(at) % 6;
                let name = NAMES[step / 2];
                let is_there = list.contains(&name.to_owned());
                if step % 2 == 1 {
                    assert_eq!(namespaces.remove(name), is_there);
                    list.retain(|joined| joined != name);
                } else if !is_there {
                    namespaces.insert(name, namespace(u64::from(at)));
                    list.push(name.to_owned());
                }
                assert_eq!(
                    (names(&namespaces), namespaces.len()),
                    (list.clone(), list.len())
                );
                for name in NAMES {
                    let found = namespaces.find(name).map(|found| found.id);
                    assert_eq!(namespaces.find_mut(name).map(|found| found.id), found);
                    assert_eq!(found.is_some(), list.contains(&name.to_owned()));
                }
            }
        }
    }
}
