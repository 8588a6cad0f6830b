//! Which browser origins may talk to us (RFC 6454).

/// Allowed origins.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    allowed: Vec<String>,
    any: bool,
}

impl Origins {
    /// Exact origins, `https://*.example.com` for all subdomains, `*` for all. None at all: the same host only.
    #[must_use]
    pub fn new(allowed: Vec<String>) -> Self {
        let any = allowed.iter().any(|origin| origin == "*");
        Self { allowed, any }
    }

    /// Whether nobody has named any.
    pub(crate) const fn is_unsaid(&self) -> bool {
        self.allowed.is_empty()
    }

    /// Whether a page of `origin` may talk to us, whom it calls `host`.
    #[must_use]
    pub fn allows(&self, origin: &str, host: Option<&str>) -> bool {
        let same_host = origin
            .split_once("://")
            .is_some_and(|(_, authority)| Some(authority) == host);
        self.any || same_host || self.allowed.iter().any(|allowed| fits(allowed, origin))
    }
}

fn fits(allowed: &str, origin: &str) -> bool {
    let Some((scheme, domain)) = allowed.split_once("://*.") else {
        return allowed.eq_ignore_ascii_case(origin);
    };
    let Some((given, authority)) = origin.split_once("://") else {
        return false;
    };
    let subdomain = authority
        .strip_suffix(domain)
        .and_then(|rest| rest.strip_suffix('.'));
    given == scheme && subdomain.is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let origins = Origins::new(vec![
            "https://a.com".to_owned(),
            "https://*.b.com".to_owned(),
        ]);
        for (origin, host, expected) in [
            ("https://a.com", None, true),
            ("http://a.com", None, false),
            ("https://a.com.evil.org", None, false),
            ("https://x.b.com", None, true),
            ("https://b.com", None, false),
            ("https://evilb.com", None, false),
            ("https://.b.com", None, false),
            ("http://chat.org:7300", Some("chat.org:7300"), true),
            ("null", None, false),
        ] {
            assert_eq!(origins.allows(origin, host), expected, "{origin}");
        }
        assert!(Origins::new(vec!["*".to_owned()]).allows("null", None));
    }
}
