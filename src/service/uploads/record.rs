//! What storage remembers of an upload besides its bytes.

use serde::{Deserialize, Serialize};

/// Bytes of a record: two headers of their bounds, a subject, and some numbers.
const RECORD_BYTES_MAX: usize = 64 << 10;
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

    /// The record in those bytes; `None` for what no version of ours wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > RECORD_BYTES_MAX {
            return None;
        }
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let is_name = !record.name.is_empty() && !record.name.contains(['/', '\0']);
        let is_sound = record.length.is_none_or(|length| record.offset <= length);
        (record.version == VERSION && is_name && is_sound).then_some(record)
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
pub(super) fn final_name(id: super::UploadId, filename: &str) -> String {
    let extension = filename
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    let plain = extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain && (1..=EXTENSION_BYTES_MAX).contains(&extension.len()) {
        format!("{id}.{}", extension.to_ascii_lowercase())
    } else {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::UploadId;
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let mut record = Record::new("anna".to_owned(), Some(5), "a.png".to_owned());
        record.offset = 3;
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
        record.offset = 6;
        assert_eq!(Record::decode(&record.encode()), None);
        for bytes in [&b""[..], b"{}", b"\0\0\0", &record.encode()[1..]] {
            assert_eq!(Record::decode(bytes), None);
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
