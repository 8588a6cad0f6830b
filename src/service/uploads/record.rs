//! What storage remembers of an upload besides its bytes.

use super::UploadId;
use super::sealing::Stored;
use crate::rooms::is_room_name;
use ringway_proto::tus::Metadata;
use serde::{Deserialize, Serialize};

/// Bytes of a record: two headers of their bounds, each of whose bytes JSON may have escaped, a subject, and some numbers.
pub const RECORD_BYTES_MAX: usize = 128 << 10;
/// The only version so far.
const VERSION: u8 = 1;
/// Bytes of an extension that stays behind the final name.
const EXTENSION_BYTES_MAX: usize = 11;

/// A record. It is a JSON object, one per upload, and each is written as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u8,
    /// Whose it is.
    pub subject: String,
    /// All bytes that are to come; `None`: the client has not said.
    pub length: Option<u64>,
    /// Bytes that are synced, from the first on.
    pub offset: u64,
    /// Until when it is kept as it is.
    pub expires_unix_seconds: u64,
    /// Upload-Metadata, as it was sent.
    pub metadata: String,
    /// Upload-Concat, as it was sent.
    pub concat: Option<String>,
    /// The room whose members are told.
    pub room: Option<String>,
    /// The name under which it will be whole.
    pub name: String,
}

impl Record {
    /// The record of an upload without bytes.
    #[must_use]
    pub const fn new(subject: String, length: Option<u64>, name: String) -> Self {
        Self {
            version: VERSION,
            subject,
            length,
            offset: 0,
            expires_unix_seconds: 0,
            metadata: String::new(),
            concat: None,
            room: None,
            name,
        }
    }

    /// The bytes to store.
    ///
    /// # Panics
    /// Never: a record is plain data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }

    /// The upload's record in those bytes, which may have more behind it (`sealing.rs`); `None` for what no version of ours wrote.
    ///
    /// Whoever can write to the directory can write a record: nothing in it is believed that this code would not have put there.
    #[must_use]
    pub fn decode(upload: UploadId, bytes: &[u8]) -> Option<Self> {
        let bytes = Stored::split(bytes).record;
        if bytes.len() > RECORD_BYTES_MAX {
            return None;
        }
        let record: Self = serde_json::from_slice(bytes).ok()?;
        record.is_sound(upload).then_some(record)
    }

    fn is_sound(&self, upload: UploadId) -> bool {
        let is_length = |length: u64| self.offset <= length && length <= i64::MAX as u64;
        self.version == VERSION
            && is_final_name(upload, &self.name)
            && self.offset <= i64::MAX as u64
            && self.length.is_none_or(is_length)
            && Metadata::parse(&self.metadata).is_some()
            && self.concat.as_deref().is_none_or(is_concat)
            && self.room.as_deref().is_none_or(is_room_name)
    }

    pub(super) fn is_partial(&self) -> bool {
        self.concat.as_deref() == Some("partial")
    }

    pub(super) fn is_final(&self) -> bool {
        self.concat.is_some() && !self.is_partial()
    }

    /// Whether all bytes are there.
    pub(super) fn is_complete(&self) -> bool {
        self.length == Some(self.offset)
    }
}

/// The final name of an upload: its id, and the extension of the client's name, so that its type can be told. Nothing else of that name is used.
pub(super) fn final_name(id: UploadId, filename: &str) -> String {
    let extension = filename
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    if is_extension(extension) {
        format!("{id}.{}", extension.to_ascii_lowercase())
    } else {
        id.to_string()
    }
}

fn is_extension(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain && (1..=EXTENSION_BYTES_MAX).contains(&text.len())
}

/// Whether [`final_name`] gives that name to the upload, for one file or another.
fn is_final_name(id: UploadId, name: &str) -> bool {
    final_name(id, name) == name
}

/// Whether it can be a header's value, and is one that was sent.
fn is_concat(text: &str) -> bool {
    let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    visible && (text == "partial" || text.starts_with("final;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: UploadId = UploadId::new(0, 1);

    fn record() -> Record {
        Record::new("anna".to_owned(), Some(5), format!("{ID}.png"))
    }

    #[test]
    fn a_record_is_read_back() {
        let mut record = record();
        record.offset = 3;
        record.metadata = "filename YS5wbmc=,room cg==".to_owned();
        record.concat = Some("final;/uploads/\"\\".to_owned());
        record.room = Some("r".to_owned());
        assert_eq!(Record::decode(ID, &record.encode()), Some(record.clone()));
        record.name = ID.to_string();
        assert_eq!(Record::decode(ID, &record.encode()), Some(record.clone()));
        for bytes in [&b""[..], b"{}", b"\0\0\0", &record.encode()[1..]] {
            assert_eq!(Record::decode(ID, bytes), None);
        }
    }

    #[test]
    fn a_record_that_this_code_would_not_have_written_is_none() {
        type Spoil = (&'static str, fn(&mut Record));
        let spoils: [Spoil; 8] = [
            ("beyond its end", |record| record.offset = 6),
            ("no length of a file", |record| {
                record.length = Some(u64::MAX)
            }),
            ("no offset of a file", |record| {
                (record.length, record.offset) = (None, u64::MAX);
            }),
            ("no metadata", |record| {
                record.metadata = "a\r\nb".to_owned();
            }),
            ("no list of parts", |record| {
                record.concat = Some("final;\r\n".to_owned());
            }),
            ("no room", |record| record.room = Some("a\nb".to_owned())),
            ("another version", |record| record.version = 2),
            ("too long", |record| {
                record.subject = "x".repeat(RECORD_BYTES_MAX);
            }),
        ];
        for (what, spoil) in spoils {
            let mut record = record();
            spoil(&mut record);
            assert_eq!(Record::decode(ID, &record.encode()), None, "{what}");
        }
    }

    #[test]
    fn a_record_names_no_file_but_its_own() {
        let other = UploadId::new(0, 2);
        for name in [
            "",
            "..",
            ".",
            "a.png",
            "a/b",
            &format!("{ID}."),
            &format!("{ID}.PNG"),
            &format!("{ID}.tar.gz"),
            &format!("../{ID}"),
            &format!("{ID}.a/b"),
            &format!("{ID}.abcdefghijkl"),
            &other.to_string(),
        ] {
            let mut record = record();
            record.name = name.to_owned();
            assert_eq!(Record::decode(ID, &record.encode()), None, "{name}");
        }
    }

    #[test]
    fn a_final_name_has_an_extension_and_nothing_else_of_the_clients() {
        let id = UploadId::new(0, 1);
        let digits = "00000000000000000000000000000001";
        for (filename, extension) in [
            ("a.PNG", ".png"),
            ("a.tar.gz", ".gz"),
            ("a", ""),
            ("", ""),
            ("a.", ""),
            ("a./../../b", ""),
            ("a.p\0", ""),
            ("a.é", ""),
            ("a.abcdefghijkl", ""),
            ("../.bashrc", ".bashrc"),
        ] {
            assert_eq!(
                final_name(id, filename),
                format!("{digits}{extension}"),
                "{filename}"
            );
        }
    }
}
