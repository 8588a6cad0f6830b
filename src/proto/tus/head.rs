//! What a request to create or continue an upload says.

use super::{Checksum, MEDIA_TYPE, Metadata, VERSION};
use crate::http1::Request;

/// Uploads that are put together into one.
const PARTS_MAX: usize = 256;
/// Bytes of an Upload-Concat header.
const CONCAT_BYTES_MAX: usize = 32 << 10;

/// A client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TusError {
    /// 412: not [`VERSION`].
    Version,
    /// 400: the header of this name is missing, malformed, there twice, or contradicts another one.
    Header(&'static str),
    /// 413: a length that no file has.
    TooLarge,
    /// 415: bytes of another Content-Type.
    MediaType,
    /// 400: the checksum is to come behind the body.
    Trailer,
}

impl TusError {
    /// The status that tells the client.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Header(_) | Self::Trailer => 400,
            Self::Version => 412,
            Self::TooLarge => 413,
            Self::MediaType => 415,
        }
    }
}

/// How long an upload will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// The client will say.
    Deferred,
}

/// What an upload has to do with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concat {
    /// Nothing.
    None,
    /// It is a part.
    Partial,
    /// It is put together from these; their URLs as the client wrote them.
    Final(Vec<String>),
}

/// A POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Of the whole; of one that is put together it is not said.
    pub length: Length,
    /// What the client wants to be remembered.
    pub metadata: Metadata,
    /// Whether it is a part, or put together from parts.
    pub concat: Concat,
    /// Of the body, which is the first bytes.
    pub checksum: Option<Checksum>,
}

/// A PATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where its bytes begin; the largest number of all stands for whatever is beyond it.
    pub offset: u64,
    /// The length that was deferred.
    pub length: Option<u64>,
    /// Of the body.
    pub checksum: Option<Checksum>,
}

/// What a client means to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Hear what the server knows.
    Options,
    /// Create an upload.
    Post,
    /// Hear how far one is.
    Head,
    /// Continue one.
    Patch,
    /// End one.
    Delete,
    /// Something that uploads do not know.
    Other,
}

impl Method {
    /// The request's method, or the one that it names instead: not every client can send PATCH and DELETE. What was sent counts for nothing then, whatever it
    /// was (tus 1.0.0, X-HTTP-Method-Override); so this is asked once, before anything is done for anybody.
    ///
    /// # Errors
    /// [`TusError::Header`] for a name that is there twice, or is none.
    pub fn of(request: &Request) -> Result<Self, TusError> {
        const NAME: &str = "x-http-method-override";
        let name = single(request, NAME)?.unwrap_or(&request.method);
        let is_name = !name.is_empty() && name.bytes().all(is_token_byte);
        is_name
            .then(|| Self::named(name))
            .ok_or(TusError::Header(NAME))
    }

    /// RFC 9110 §9.1: methods are case-sensitive.
    fn named(name: &str) -> Self {
        match name {
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "HEAD" => Self::Head,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// RFC 9110 §5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether the client speaks our version, which every request but OPTIONS must say.
///
/// # Errors
/// [`TusError::Version`].
pub fn check_version(request: &Request) -> Result<(), TusError> {
    match single(request, "tus-resumable") {
        Ok(Some(VERSION)) => Ok(()),
        _ => Err(TusError::Version),
    }
}

/// The value of a header that may be there once.
fn single<'a>(request: &'a Request, name: &'static str) -> Result<Option<&'a str>, TusError> {
    let mut values = request.headers(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(TusError::Header(name));
    }
    Ok(first)
}

/// Digits only.
fn digits<'a>(request: &'a Request, name: &'static str) -> Result<Option<&'a str>, TusError> {
    let Some(digits) = single(request, name)? else {
        return Ok(None);
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then_some(Some(digits))
        .ok_or(TusError::Header(name))
}

/// What is beyond the sizes of files is [`TusError::TooLarge`].
fn length_of(request: &Request, name: &'static str) -> Result<Option<u64>, TusError> {
    let Some(digits) = digits(request, name)? else {
        return Ok(None);
    };
    let value = digits.parse().ok();
    let value = value.filter(|value| *value <= i64::MAX as u64);
    value.map(Some).ok_or(TusError::TooLarge)
}

/// An offset that is no number of ours is one that no upload is at, as any other wrong one.
fn offset(request: &Request) -> Result<u64, TusError> {
    const NAME: &str = "upload-offset";
    let digits = digits(request, NAME)?.ok_or(TusError::Header(NAME))?;
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// The extension checksum-trailer is not there, and who was told nothing would take its bytes for verified.
fn checksum(request: &Request) -> Result<Option<Checksum>, TusError> {
    const NAME: &str = "upload-checksum";
    if request.header_has_token("trailer", NAME) {
        return Err(TusError::Trailer);
    }
    let value = single(request, NAME)?;
    let parsed = value.map(|value| Checksum::parse(value).ok_or(TusError::Header(NAME)));
    parsed.transpose()
}

fn check_media_type(request: &Request) -> Result<(), TusError> {
    let is_ours = |value: &str| value.eq_ignore_ascii_case(MEDIA_TYPE);
    let value = single(request, "content-type").map_err(|_| TusError::MediaType)?;
    if value.is_some_and(is_ours) {
        Ok(())
    } else {
        Err(TusError::MediaType)
    }
}

impl Creation {
    /// What a POST asks for.
    ///
    /// # Errors
    /// See [`TusError`].
    pub fn parse(request: &Request) -> Result<Self, TusError> {
        let concat = concat(request)?;
        let is_final = matches!(concat, Concat::Final(_));
        let metadata = single(request, "upload-metadata")?.unwrap_or_default();
        let metadata = Metadata::parse(metadata).ok_or(TusError::Header("upload-metadata"))?;
        let length = length(request, is_final)?;
        if request.has_body() {
            check_media_type(request)?;
            if is_final {
                return Err(TusError::Header("upload-concat"));
            }
        }
        Ok(Self {
            length,
            metadata,
            concat,
            checksum: checksum(request)?,
        })
    }
}

/// A length or its deferral, and not both; of what is put together neither.
fn length(request: &Request, is_final: bool) -> Result<Length, TusError> {
    let known = length_of(request, "upload-length")?;
    let deferred = single(request, "upload-defer-length")?;
    if deferred.is_some_and(|value| value != "1") {
        return Err(TusError::Header("upload-defer-length"));
    }
    match (known, deferred, is_final) {
        (Some(bytes), None, false) => Ok(Length::Known(bytes)),
        (None, Some(_), false) | (None, None, true) => Ok(Length::Deferred),
        _ => Err(TusError::Header("upload-length")),
    }
}

fn concat(request: &Request) -> Result<Concat, TusError> {
    const WRONG: TusError = TusError::Header("upload-concat");
    let Some(value) = single(request, "upload-concat")? else {
        return Ok(Concat::None);
    };
    if value == "partial" {
        return Ok(Concat::Partial);
    }
    let list = value.strip_prefix("final;").ok_or(WRONG)?;
    let urls: Vec<String> = list
        .split(' ')
        .filter(|url| !url.is_empty())
        .take(PARTS_MAX + 1)
        .map(str::to_owned)
        .collect();
    let visible = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let fits = (1..=PARTS_MAX).contains(&urls.len()) && value.len() <= CONCAT_BYTES_MAX;
    if fits && visible {
        Ok(Concat::Final(urls))
    } else {
        Err(WRONG)
    }
}

impl Patch {
    /// What a PATCH asks for.
    ///
    /// # Errors
    /// See [`TusError`].
    pub fn parse(request: &Request) -> Result<Self, TusError> {
        check_media_type(request)?;
        Ok(Self {
            offset: offset(request)?,
            length: length_of(request, "upload-length")?,
            checksum: checksum(request)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Bounds, parse_head};

    #[track_caller]
    fn check(method: &str, overrides: &[&str], expected: Option<Method>) {
        let line = |name: &&str| format!("X-HTTP-Method-Override: {name}\r\n");
        let lines: String = overrides.iter().map(line).collect();
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let bounds = Bounds {
            head_bytes_max: 1000,
            body_bytes_max: 0,
        };
        let (request, _) = parse_head(head.as_bytes(), &bounds).unwrap().unwrap();
        let wrong = TusError::Header("x-http-method-override");
        let expected = expected.ok_or(wrong);
        assert_eq!(Method::of(&request), expected, "{method} {overrides:?}");
    }

    #[test]
    fn methods_are_what_was_sent() {
        check("POST", &[], Some(Method::Post));
        check("OPTIONS", &[], Some(Method::Options));
        check("options", &[], Some(Method::Other));
        check("GET", &[], Some(Method::Other));
    }

    #[test]
    fn tus_core_what_is_named_counts_and_what_was_sent_does_not() {
        for sent in ["POST", "GET", "PUT", "OPTIONS", "HEAD", "PATCH", "DELETE"] {
            check(sent, &["PATCH"], Some(Method::Patch));
            check(sent, &["DELETE"], Some(Method::Delete));
            check(sent, &["HEAD"], Some(Method::Head));
            check(sent, &["POST"], Some(Method::Post));
            check(sent, &["OPTIONS"], Some(Method::Options));
            check(sent, &["GET"], Some(Method::Other));
            check(sent, &["patch"], Some(Method::Other));
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for sent in ["POST", "OPTIONS", "DELETE"] {
            check(sent, &[""], None);
            check(sent, &["PATCH, DELETE"], None);
            check(sent, &["PATCH", "PATCH"], None);
            check(sent, &["PATCH", "DELETE"], None);
        }
    }
}
