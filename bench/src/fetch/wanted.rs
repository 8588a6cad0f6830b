//! What is fetched: the files, and the requests for them.

use super::client::Answer;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes of what a file is filled with; a prime, so that no page of a file is like another.
const PATTERN_BYTES: usize = 65_521;
/// What a quick run makes of a large file.
const QUICK_FILE_BYTES: u64 = 1 << 20;

/// What a scenario asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Of each file.
    pub(crate) file_bytes: u64,
    /// Different files; each request draws one.
    #[serde(default = "one")]
    pub(crate) files: u64,
    /// Of a range at an offset that is drawn; 0 for all of the file.
    #[serde(default)]
    pub(crate) range_bytes: u64,
    /// Asks whether it has changed, which it has not: the answer is 304.
    #[serde(default)]
    pub(crate) unchanged: bool,
    /// The one encoding that the client takes.
    #[serde(default)]
    pub(crate) encoding: Option<String>,
    /// Beside each file lies one that gzip has made of it.
    #[serde(default)]
    pub(crate) precompressed: bool,
    /// The file's bytes are JSON, so that it can be compressed.
    #[serde(default)]
    pub(crate) is_text: bool,
    /// The client lets the kernel throw bodies away (`MSG_TRUNC`) instead of copying them.
    #[serde(default)]
    pub(crate) discards: bool,
    /// Reads no more than that; 0 reads all there is.
    #[serde(default)]
    pub(crate) bytes_per_second: u64,
    /// `SO_RCVBUF` of a client; 0 leaves it to the kernel.
    #[serde(default)]
    pub(crate) recv_buffer_bytes: usize,
}

const fn one() -> u64 {
    1
}

impl Wanted {
    /// The same with small files.
    pub(crate) fn quick(mut self) -> Self {
        self.file_bytes = self.file_bytes.min(QUICK_FILE_BYTES);
        self.files = self.files.min(4);
        // Even a moment is long enough for something to be read.
        self.bytes_per_second *= 1000;
        self
    }

    pub(crate) const fn is_possible(&self) -> bool {
        self.file_bytes > 0 && self.files > 0 && self.range_bytes < self.file_bytes
    }

    pub(super) const fn is_slow(&self) -> bool {
        self.bytes_per_second > 0
    }

    /// Whether an answer is what was asked for. The first of a connection that asks for what is unchanged is the file itself.
    pub(super) fn is_answered_by(&self, answer: &Answer) -> bool {
        let status = match () {
            () if self.unchanged && answer.knew_etag => 304,
            () if self.range_bytes > 0 => 206,
            () => 200,
        };
        let length = match () {
            () if status == 304 => 0,
            () if self.range_bytes > 0 => self.range_bytes,
            () if self.encoding.is_some() => answer.length,
            () => self.file_bytes,
        };
        let is_encoded =
            self.encoding.is_none() || answer.encoding == self.encoding || status == 304;
        (answer.status, answer.length) == (status, length) && is_encoded
    }
}

/// The files of a run.
pub(crate) struct Files {
    count: u64,
    file_bytes: u64,
    is_text: bool,
    precompressed: bool,
    folder: PathBuf,
    pattern: Vec<u8>,
}

impl Files {
    /// Those that [`Self::make`] made there.
    pub(crate) fn in_folder(folder: &Path, wanted: &Wanted) -> Self {
        Self {
            count: wanted.files,
            file_bytes: wanted.file_bytes,
            is_text: wanted.is_text,
            precompressed: wanted.precompressed,
            folder: folder.to_owned(),
            pattern: pattern(),
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn make(folder: &Path, wanted: &Wanted) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let files = Self::in_folder(folder, wanted);
        (0..files.count).try_for_each(|number| files.write(number))
    }

    fn name(&self, number: u64) -> String {
        let kind = if self.is_text { "json" } else { "bin" };
        format!("{number}.{kind}")
    }

    fn write(&self, number: u64) -> io::Result<()> {
        let file = fs::File::create(self.folder.join(self.name(number)))?;
        let mut file = io::BufWriter::new(file);
        if self.is_text {
            let text = json(self.file_bytes as usize);
            file.write_all(&text)?;
            return file.flush().and_then(|()| self.compress(number, &text));
        }
        let mut left = self.file_bytes as usize;
        while left > 0 {
            let piece = left.min(PATTERN_BYTES);
            file.write_all(&self.pattern[..piece])?;
            left -= piece;
        }
        file.flush()
    }

    fn compress(&self, number: u64, text: &[u8]) -> io::Result<()> {
        if !self.precompressed {
            return Ok(());
        }
        let name = format!("{}.gz", self.name(number));
        let file = fs::File::create(self.folder.join(name))?;
        let mut gzip = GzEncoder::new(file, Compression::best());
        gzip.write_all(text)?;
        gzip.finish()?.flush()
    }

    /// A request for a file and an offset in it, of which numbers that were drawn decide.
    pub(super) fn request(
        &self,
        wanted: &Wanted,
        file: u64,
        offset: u64,
        etag: Option<&str>,
    ) -> Asked {
        use core::fmt::Write as _;
        let name = self.name(file % self.count);
        let mut text = format!("GET /files/{name} HTTP/1.1\r\nHost: bench\r\n");
        let mut first = 0;
        let mut add = |header: core::fmt::Arguments<'_>| {
            let _ = write!(text, "{header}\r\n");
        };
        if wanted.range_bytes > 0 {
            first = offset % (self.file_bytes - wanted.range_bytes);
            add(format_args!(
                "Range: bytes={first}-{}",
                first + wanted.range_bytes - 1
            ));
        }
        if let Some(encoding) = &wanted.encoding {
            add(format_args!("Accept-Encoding: {encoding}"));
        }
        let etag = etag.filter(|_| wanted.unchanged);
        if let Some(etag) = etag {
            add(format_args!("If-None-Match: {etag}"));
        }
        add(format_args!(""));
        Asked {
            text: text.into_bytes(),
            first,
            knew_etag: etag.is_some(),
        }
    }

    /// Whether a body's bytes are those of a file from that place on.
    pub(super) fn has_at(&self, mut place: u64, mut bytes: &[u8]) -> bool {
        if self.is_text {
            return true;
        }
        while !bytes.is_empty() {
            let start = (place % PATTERN_BYTES as u64) as usize;
            let piece = bytes.len().min(PATTERN_BYTES - start);
            if self.pattern[start..start + piece] != bytes[..piece] {
                return false;
            }
            (place, bytes) = (place + piece as u64, &bytes[piece..]);
        }
        true
    }
}

/// A request, and what its answer is compared with.
pub(super) struct Asked {
    pub(super) text: Vec<u8>,
    pub(super) first: u64,
    pub(super) knew_etag: bool,
}

/// Bytes that do not compress.
pub(crate) fn pattern() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..PATTERN_BYTES).map(|_| next()).collect()
}

/// So many bytes of JSON as an application answers it: names that repeat, values that do not.
fn json(bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 128);
    text.push(b'[');
    let mut number = 0_u64;
    while text.len() + 120 < bytes {
        let value = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let _ = write!(
            text,
            r#"{{"id":{number},"user":"user-{value:x}","active":{},"score":{}}},"#,
            value.is_multiple_of(3),
            value % 100_000
        );
        number += 1;
    }
    text.extend_from_slice(b"null]");
    text.resize(bytes, b' ');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(rest: &str) -> Wanted {
        toml::from_str(&format!("file_bytes = 200000\n{rest}")).unwrap()
    }

    #[test]
    fn files_are_what_bodies_are_compared_with() {
        let folder =
            std::env::temp_dir().join(format!("ringway-bench-files-{}", std::process::id()));
        let wanted = wanted("files = 2");
        Files::make(&folder, &wanted).unwrap();
        let files = Files::in_folder(&folder, &wanted);
        let mut bytes = fs::read(folder.join("1.bin")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(bytes.len(), 200_000);
        assert!(files.has_at(0, &bytes) && files.has_at(70_001, &bytes[70_001..150_000]));
        assert!(!files.has_at(1, &bytes));
        bytes[131_072] ^= 1;
        assert!(!files.has_at(0, &bytes));
    }

    #[test]
    fn requests_say_what_is_wanted() {
        let wanted = wanted("range_bytes = 100\nunchanged = true\nencoding = \"gzip\"");
        let files = Files::in_folder(Path::new("/"), &wanted);
        let asked = files.request(&wanted, 7, 250_000, Some("\"e\""));
        let first = 250_000 % (200_000 - 100);
        assert_eq!((asked.first, asked.knew_etag), (first, true));
        assert_eq!(
            String::from_utf8(asked.text).unwrap(),
            format!(
                "GET /files/0.bin HTTP/1.1\r\nHost: bench\r\nRange: bytes={first}-{}\r\nAccept-Encoding: gzip\r\nIf-None-Match: \"e\"\r\n\r\n",
                first + 99
            )
        );
    }

    #[test]
    fn text_has_its_length() {
        assert_eq!(json(1 << 20).len(), 1 << 20);
        assert!(serde_json::from_slice::<serde_json::Value>(&json(5000)).is_ok());
    }
}
