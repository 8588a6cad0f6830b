//! Content codings by Accept-Encoding (RFC 9110 §12.5.3).
//!
//! Deliberately absent: compressing.

use super::Request;

/// A content coding that we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    /// `zstd` (RFC 8878).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
    /// None.
    Identity,
}

impl Coding {
    /// All of them; of those that a client likes equally the first is best.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Identity];

    /// Its name in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// What a file that has it already is called behind the name of the original.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
            Self::Identity => "",
        }
    }

    /// §8.4.1.3: `x-gzip` is `gzip`. Names have no case.
    fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name())
            || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// A weight in thousandths (§12.4.2).
type Weight = u16;

/// How much a client likes each coding, by its place in [`Coding::ALL`]; zero: not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted([Weight; Coding::ALL.len()]);

impl Accepted {
    /// What a request's Accept-Encoding says. Without one only what is not encoded is sent: who cannot decode does not say so.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let (mut named, mut star) = ([None; Coding::ALL.len()], None);
        let elements = request.headers("accept-encoding");
        for (name, weight) in elements
            .flat_map(|value| value.split(','))
            .filter_map(parse_element)
        {
            if name == "*" {
                star.get_or_insert(weight);
            }
            for (place, coding) in named.iter_mut().zip(Coding::ALL) {
                if coding.is_named(name) {
                    // The first of two that contradict each other.
                    place.get_or_insert(weight);
                }
            }
        }
        // A star likes identity no better than saying nothing of it does: it is the last resort.
        let star = |coding| star.filter(|_| coding != Coding::Identity);
        Self(Coding::ALL.map(|coding| named[coding as usize].or_else(|| star(coding)).unwrap_or(0)))
    }

    /// The codings that the client takes, the most liked first.
    ///
    /// A client that takes nothing that there is gets what is not encoded (§12.4.1 lets a server disregard the header): [`Coding::Identity`] is always
    /// among them, last when it was not named or is forbidden.
    pub fn ranked(&self) -> impl Iterator<Item = Coding> + use<> {
        let weights = self.0;
        let unliked = move |coding: &Coding| (1000 - weights[*coding as usize], *coding);
        let mut codings = Coding::ALL;
        codings.sort_unstable_by_key(unliked);
        let taken =
            move |coding: &Coding| weights[*coding as usize] > 0 || *coding == Coding::Identity;
        codings.into_iter().filter(taken)
    }
}

/// A coding's name and its weight; `None` for what is malformed, which is as if it were not there.
fn parse_element(element: &str) -> Option<(&str, Weight)> {
    let mut parts = element
        .split(';')
        .map(|part| part.trim_matches([' ', '\t']));
    let name = parts.next().filter(|name| !name.is_empty())?;
    let mut weight = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        if key.eq_ignore_ascii_case("q") {
            weight = parse_weight(value)?;
        }
    }
    Some((name, weight))
}

/// §12.4.2: `0` or `1`, and up to three digits behind a point.
fn parse_weight(text: &str) -> Option<Weight> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: Weight = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: Weight = format!("{fraction:0<3}").parse().ok()?;
    let weight = whole + thousandths;
    (weight <= 1000).then_some(weight)
}
