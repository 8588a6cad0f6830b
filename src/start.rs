//! Why the daemon does not start: one code, the cause and the remedy each.

use std::path::Path;

/// A refusal to start. `Display` gives the whole line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError {
    /// The catalogue's code, such as `RW-1006`.
    pub code: &'static str,
    /// What happened, to what.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl StartError {
    /// A refusal with its parts.
    #[must_use]
    pub fn new(code: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            cause: cause.into(),
            remedy: remedy.into(),
        }
    }

    /// Whether it is RW-1006, and may be otherwise at another address.
    #[must_use]
    pub fn is_about_an_address(&self) -> bool {
        self.code == "RW-1006"
    }

    /// RW-1006.
    #[must_use]
    pub fn address_unusable(address: std::net::SocketAddr, error: &std::io::Error) -> Self {
        Self::new(
            "RW-1006",
            format!("cannot listen on {address}: {error}"),
            "stop what uses it, or choose another by --listen or --admin",
        )
    }

    /// RW-1013.
    #[must_use]
    pub fn link_unusable(address: &crate::links::LinkAddress, error: &std::io::Error) -> Self {
        Self::new(
            "RW-1013",
            format!("no worker can join at {address}: {error}"),
            "stop what uses it, or choose another by --link",
        )
    }

    /// RW-1014.
    #[must_use]
    pub fn directory_unusable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(
            "RW-1014",
            format!("files of {} cannot be served: {error}", path.display()),
            "correct the path or its permissions",
        )
    }

    /// RW-1014, of a directory of uploads.
    #[must_use]
    pub fn uploads_unusable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(
            "RW-1014",
            format!("uploads cannot be kept in {}: {error}", path.display()),
            "correct the path or its permissions",
        )
    }

    /// RW-1014, of a directory where uses of one-time URLs are written down.
    #[must_use]
    pub fn used_urls_unusable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(
            "RW-1014",
            format!(
                "which one-time URLs were used cannot be written down in {}: {error}",
                path.display()
            ),
            "correct the path or its permissions",
        )
    }

    /// RW-1007.
    #[must_use]
    pub fn key_unreadable(path: &Path, error: &str) -> Self {
        Self::new(
            "RW-1007",
            format!("the key file {} cannot be used: {error}", path.display()),
            "correct the path, its permissions or its content",
        )
    }

    /// RW-1008.
    #[must_use]
    pub fn unknown_key(path: &str, what: &str) -> Self {
        Self::new(
            "RW-1008",
            format!("the configuration has an unknown key at {path}: {what}"),
            "correct or remove it",
        )
    }

    /// RW-1009.
    #[must_use]
    pub fn invalid_value(path: &str, what: &str) -> Self {
        Self::new(
            "RW-1009",
            format!("the configuration's {path} is not usable: {what}"),
            "correct the value",
        )
    }

    /// RW-1010.
    #[must_use]
    pub fn no_auth() -> Self {
        Self::new(
            "RW-1010",
            "no way to authenticate clients is configured",
            "configure [[auth.keys]] or a link, or try it out with --dev",
        )
    }

    /// RW-1011.
    #[must_use]
    pub fn config_unreadable(path: &Path, error: &str) -> Self {
        Self::new(
            "RW-1011",
            format!(
                "the configuration {} cannot be read: {error}",
                path.display()
            ),
            "correct the path or the file",
        )
    }
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}: {}. Remedy: {} (see `ringway explain {}`)",
            self.code, self.cause, self.remedy, self.code
        )
    }
}

impl core::error::Error for StartError {}
