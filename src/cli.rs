//! The command line. What each flag means to the daemon stands in [`crate::config`]; flags only override it.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The data plane of real-time applications.
#[derive(Parser, Debug)]
#[command(name = "ringway", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve clients until SIGTERM.
    Serve(ServeArgs),
    /// Say in one table whether this host is fit, with the remedy where it is not.
    Check(ConfigArgs),
    /// Mint a token for tests, signed by a configured key.
    Token(TokenArgs),
    /// Sign a URL of a file, by a configured key of `files.url_keys`.
    Url(UrlArgs),
    /// Seal the keys of whole encrypted uploads anew by the first of `uploads.key_files`, so that an older one may go; the daemon may run meanwhile.
    Reseal(ConfigArgs),
    /// Explain a code, such as RW-2104.
    Explain {
        /// The code.
        code: String,
    },
}

/// Where the configuration comes from.
#[derive(Args, Debug, Clone, Default)]
pub struct ConfigArgs {
    /// The TOML file to read.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one value, over file and environment: `--set engine.ping_interval_ms=10000`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `ringway serve`.
#[derive(Args, Debug, Clone, Default)]
pub struct ServeArgs {
    /// Configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The address for clients (default 127.0.0.1:7300).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The address for operators (default 127.0.0.1:7301).
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// How many shards (default: one per allowed CPU).
    #[arg(long, value_name = "N")]
    pub shards: Option<u16>,
    /// A directory whose files are served under /files/.
    #[arg(long, value_name = "DIRECTORY")]
    pub files: Option<PathBuf>,
    /// A directory in which clients' uploads are kept; they go to /uploads/.
    #[arg(long, value_name = "DIRECTORY")]
    pub uploads: Option<PathBuf>,
    /// Where workers of the application join: `unix:PATH` or `tcp://ADDRESS`; repeatable.
    #[arg(long, value_name = "ADDRESS")]
    pub link: Vec<String>,
    /// Anonymous clients, no rate limits, the demo page and the echo endpoints. Never in production.
    #[arg(long)]
    pub dev: bool,
}

/// `ringway token`.
#[derive(Args, Debug, Clone)]
pub struct TokenArgs {
    /// Configuration: its keys sign.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The `sub` claim.
    #[arg(long)]
    pub subject: String,
    /// Which configured key signs (default: the first that can).
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// A room pattern that the bearer may join; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub join: Vec<String>,
    /// A room pattern that the bearer may publish to; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub publish: Vec<String>,
    /// A pattern of paths of files that the bearer may read; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub files: Vec<String>,
    /// A pattern of names of files that the bearer may upload; repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub uploads: Vec<String>,
    /// Life time in seconds.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub expires_in: u64,
}

/// `ringway url`.
#[derive(Args, Debug, Clone)]
pub struct UrlArgs {
    /// Configuration: the first of its keys signs.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The file's path as clients ask for it, not escaped: `/files/a b.pdf`.
    #[arg(long)]
    pub path: String,
    /// Life time in seconds.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub expires_in: u64,
    /// Have it saved under this name; an empty one is the file's own.
    #[arg(long, value_name = "NAME")]
    pub download: Option<String>,
    /// For one use.
    #[arg(long)]
    pub once: bool,
    /// To upload rather than to read: of the path `/uploads/`.
    #[arg(long, conflicts_with_all = ["once", "download"], requires = "subject")]
    pub write: bool,
    /// Whose quota counts, and whose uploads they are.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub subject: Option<String>,
    /// A room pattern: the rooms that uploads may name, whose members hear of them.
    #[arg(long, value_name = "PATTERN", requires = "write")]
    pub room: Option<String>,
}

impl ServeArgs {
    /// The flags as `key=value` settings, the last layer over file and environment.
    #[must_use]
    pub fn overrides(&self) -> Vec<String> {
        let mut set = self.config.set.clone();
        set.extend(
            self.listen
                .iter()
                .map(|address| format!("listen.address=\"{address}\"")),
        );
        set.extend(
            self.admin
                .iter()
                .map(|address| format!("admin.address=\"{address}\"")),
        );
        set.extend(
            self.shards
                .iter()
                .map(|shards| format!("shards.count={shards}")),
        );
        set.extend(
            self.files
                .iter()
                .map(|directory| format!("files.roots=[{{directory={directory:?}}}]")),
        );
        set.extend(
            self.uploads
                .iter()
                .map(|directory| format!("uploads.directory={directory:?}")),
        );
        if !self.link.is_empty() {
            set.push(format!("link.listen={:?}", self.link));
        }
        if self.dev {
            set.push("dev=true".to_owned());
        }
        set
    }
}
