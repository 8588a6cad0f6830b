//! The name of an upload in its URL: 128 bits that nobody guesses, of which twelve say where its home is.

/// An upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(u128);

/// Bits that say the bucket, as many as a session id has.
const BUCKET_BITS: u32 = 12;
const DIGITS: usize = 32;

impl UploadId {
    /// The upload of that randomness, whose home is that bucket.
    #[must_use]
    pub const fn new(entropy: u128, bucket: u16) -> Self {
        let bucket = bucket as u128 & ((1 << BUCKET_BITS) - 1);
        Self(entropy >> BUCKET_BITS << BUCKET_BITS | bucket)
    }

    /// No upload has a larger name.
    pub(super) const MAX: Self = Self(u128::MAX);

    /// The upload of that name; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = text.len() == DIGITS && text.bytes().all(plain);
        u128::from_str_radix(text, 16)
            .ok()
            .filter(|_| is_id)
            .map(Self)
    }

    /// The upload that a URL of ours names, absolute or not: its last name.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let path = url.split('?').next().unwrap_or_default();
        Self::parse(path.rsplit('/').next().unwrap_or_default())
    }

    /// As many bytes as it has bits for.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Its home.
    #[must_use]
    pub const fn bucket(self) -> u16 {
        (self.0 & ((1 << BUCKET_BITS) - 1)) as u16
    }
}

impl core::fmt::Display for UploadId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        let id = UploadId::new(u128::MAX, 0x123);
        assert_eq!(id.to_string(), "fffffffffffffffffffffffffffff123");
        assert_eq!(UploadId::parse(&id.to_string()), Some(id));
        let url = format!("https://a/uploads/{id}");
        assert_eq!(UploadId::of_url(&url), Some(id));
        assert_eq!(UploadId::of_url(&format!("{url}?rw-sig=a/b")), Some(id));
        assert_eq!(id.bucket(), 0x123);
    }

    #[test]
    fn anything_else_is_no_name() {
        for text in [
            "",
            "..",
            "+fffffffffffffffffffffffffffff12",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFF123",
            "0",
        ] {
            assert_eq!(UploadId::parse(text), None, "{text}");
        }
    }
}
