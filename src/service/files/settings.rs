//! Roots: which prefix of a URL is which directory, and how files beneath it are served.
//!
//! Deliberately absent: the directories. The shard holds a descriptor for each root, by its place in the list.

use super::{CacheBounds, Compression, Media, Refused};
use crate::refusal::Refusal;
use ringway_proto::http1::{Accepted, Coding, RelativePath, Request, strip_path_prefix};

/// Roots of a daemon.
const ROOTS_MAX: usize = 64;
/// Bytes of a prefix, and of a Cache-Control value.
const TEXT_BYTES_MAX: usize = 256;

/// Who may read beneath a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a token whose `rw.files` names the file, or a signed URL.
    #[default]
    Granted,
    /// Everybody.
    Open,
}

/// One root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What the path of its URLs begins with: `/files/`.
    pub prefix: String,
    /// Who may read.
    pub access: Access,
    /// The file that stands for a directory: `index.html`. Without one directories are not there.
    pub index: Option<String>,
    /// The value of Cache-Control.
    pub cache_control: Option<String>,
    /// Whether `a.js.zst`, `a.js.br` and `a.js.gz` stand for `a.js`.
    pub precompressed: bool,
    /// Whether what compresses and has no such sibling is compressed while it is sent.
    pub compress: bool,
    /// Whether everything is to be saved, not shown: for roots whose files strangers wrote.
    pub always_download: bool,
    /// Whole uploads, which may be encrypted: the directory where what is kept of their keys is, by its number among those that files are opened beneath.
    pub locks: Option<usize>,
}

impl Default for Root {
    fn default() -> Self {
        Self {
            prefix: "/files/".to_owned(),
            access: Access::default(),
            index: None,
            cache_control: None,
            precompressed: true,
            compress: true,
            always_download: false,
            locks: None,
        }
    }
}

/// All roots, and what holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSettings {
    roots: Vec<Root>,
    /// What is compressed on the way, and how.
    pub compression: Compression,
    /// What is remembered of files that were asked for.
    pub cache: CacheBounds,
    /// The directory where the use of one-time URLs is written down, by its number among those that files are opened beneath. Without one it is forgotten
    /// with the process.
    pub used_urls: Option<u32>,
}

/// Which setting cannot be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(pub String);

/// What to open for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which root.
    pub root: usize,
    /// The file beneath it; of a directory its index.
    pub path: RelativePath,
    /// Encoded siblings to look for, the most wanted first: the path with [`Coding::suffix`] behind it.
    pub siblings: Vec<Coding>,
}

impl FilesSettings {
    /// Settings of these roots.
    ///
    /// # Errors
    /// [`SettingsError`] for prefixes that are not paths or stand twice, and for values that cannot be in a header or a directory.
    pub fn new(roots: Vec<Root>) -> Result<Self, SettingsError> {
        if roots.len() > ROOTS_MAX {
            return Err(SettingsError(format!(
                "there are more than {ROOTS_MAX} roots"
            )));
        }
        for (index, root) in roots.iter().enumerate() {
            check(root)?;
            if roots[..index]
                .iter()
                .any(|other| other.prefix == root.prefix)
            {
                let prefix = &root.prefix;
                return Err(SettingsError(format!("two roots have the prefix {prefix}")));
            }
        }
        Ok(Self {
            roots,
            cache: CacheBounds::default(),
            compression: Compression::default(),
            used_urls: None,
        })
    }

    /// The roots, in their order.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The root with the longest prefix of `path`, however that is escaped, and what follows the prefix, escaped still.
    #[must_use]
    pub fn route<'a>(&self, path: &'a str) -> Option<(usize, &'a str)> {
        let roots = self.roots.iter().enumerate();
        let matching = roots.filter_map(|(index, root)| {
            let rest = strip_path_prefix(path, &root.prefix)?;
            Some((index, rest))
        });
        matching.min_by_key(|(_, rest)| rest.len())
    }

    /// What to open for a request whose path is beneath a root.
    ///
    /// # Errors
    /// [`Refused`] for other methods than GET and HEAD, and for paths that name no file.
    pub fn wanted(&self, request: &Request) -> Result<Wanted, Refused> {
        let Some((root, rest)) = self.route(&request.path) else {
            return Err(Refused::not_found());
        };
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Err(Refused::new(405, Refusal::FileMethod).with("Allow", "GET, HEAD"));
        }
        let mut path = RelativePath::parse(rest)?;
        if path.is_directory {
            let index = self.roots[root].index.as_deref();
            path = path.join(index.ok_or_else(Refused::not_found)?);
        }
        let siblings = self.siblings(root, path.name(), request);
        Ok(Wanted {
            root,
            path,
            siblings,
        })
    }

    /// Those that the client likes better than what is not encoded.
    fn siblings(&self, root: usize, name: &str, request: &Request) -> Vec<Coding> {
        if !self.roots[root].precompressed || !Media::of(name).may_be_packed {
            return Vec::new();
        }
        let ranked = Accepted::of(request).ranked();
        ranked
            .take_while(|coding| *coding != Coding::Identity)
            .collect()
    }
}

fn check(root: &Root) -> Result<(), SettingsError> {
    let prefix = &root.prefix;
    let is_path = prefix.starts_with('/') && prefix.ends_with('/') && !prefix.contains("//");
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'?' | b'#' | b'\\');
    if !is_path || !prefix.bytes().all(plain) || prefix.len() > TEXT_BYTES_MAX {
        return Err(SettingsError(format!(
            "{prefix:?} is no prefix such as /files/"
        )));
    }
    let index = root.index.as_deref().unwrap_or("index.html");
    let names_file = RelativePath::parse(index)
        .is_ok_and(|path| !path.is_directory && path.as_str() == index && !index.contains('/'));
    if !names_file {
        return Err(SettingsError(format!("{index:?} is no name of a file")));
    }
    let cache_control = root.cache_control.as_deref().unwrap_or_default();
    let visible = |byte: u8| (b' '..=b'~').contains(&byte);
    if !cache_control.bytes().all(visible) || cache_control.len() > TEXT_BYTES_MAX {
        return Err(SettingsError("Cache-Control is visible ASCII".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_proto::http1::{Bounds, parse_head};

    fn root(prefix: &str) -> Root {
        Root {
            prefix: prefix.to_owned(),
            ..Root::default()
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let settings = FilesSettings::new(vec![root("/"), root("/a/"), root("/a/b/")]).unwrap();
        for (path, found) in [
            ("/x", Some((0, "x"))),
            ("/a", Some((0, "a"))),
            ("/a/x", Some((1, "x"))),
            ("/a/b/", Some((2, ""))),
            ("x", None),
            // What a root's name is written with is no way around it.
            ("/%61/x", Some((1, "x"))),
            ("/a/%62/x%20y", Some((2, "x%20y"))),
            ("/%61/%62/", Some((2, ""))),
            // These name no file; where they end up says nothing else.
            ("/a%2fb/x", Some((0, "a%2fb/x"))),
            ("/a/%62%2Fx", Some((1, "%62%2Fx"))),
            ("/%6", Some((0, "%6"))),
            ("/%zz/x", Some((0, "%zz/x"))),
            ("/a/%ffé", Some((1, "%ffé"))),
            ("%2fa/x", None),
        ] {
            assert_eq!(settings.route(path), found, "{path}");
        }
    }

    /// What is known to be compressed is not looked beside: each image would cost three opens more.
    #[test]
    fn what_may_have_been_compressed_is_looked_beside() {
        let settings = FilesSettings::new(vec![root("/")]).unwrap();
        let bounds = Bounds {
            head_bytes_max: 1000,
            body_bytes_max: 0,
        };
        for (name, count) in [
            ("a.js", 2),
            ("model.onnx", 2),
            ("dump.sql", 2),
            ("README", 2),
            ("a.bin", 2),
            ("a.jpg", 0),
            ("a.mp4", 0),
            ("a.js.gz", 0),
            ("a.js.br", 0),
        ] {
            let head =
                format!("GET /{name} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n");
            let (request, _) = parse_head(head.as_bytes(), &bounds).unwrap().unwrap();
            let wanted = settings.wanted(&request).unwrap();
            assert_eq!(wanted.siblings.len(), count, "{name}");
        }
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        for prefix in [
            "", "files", "/files", "files/", "//", "/a//b/", "/%61/", "/a b/", "/é/",
        ] {
            assert!(FilesSettings::new(vec![root(prefix)]).is_err(), "{prefix}");
        }
        assert!(FilesSettings::new(vec![root("/a/"), root("/a/")]).is_err());
        for index in ["", "a/b", "../a", ".index", "a/"] {
            let root = Root {
                index: Some(index.to_owned()),
                ..Root::default()
            };
            assert!(FilesSettings::new(vec![root]).is_err(), "{index}");
        }
        let root = Root {
            cache_control: Some("no-store\r\nSet-Cookie: a".to_owned()),
            ..Root::default()
        };
        assert!(FilesSettings::new(vec![root]).is_err());
    }
}
