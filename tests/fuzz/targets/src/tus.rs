//! Heads of tus: what is taken is bounded, fits a header again, and says one thing.

use crate::input::{Input, text_of};
use ringway_proto::http1::{Bounds, Request, parse_head};
use ringway_proto::tus::{Checksum, Concat, Creation, Length, Metadata, Patch, check_version};

const BOUNDS: Bounds = Bounds {
    head_bytes_max: 8192,
    body_bytes_max: 1 << 20,
};

/// Header lines of a request for an upload.
pub fn tus(data: &[u8]) {
    let text = text_of(Input::new(data).rest());
    if let Some(metadata) = Metadata::parse(text) {
        check_metadata(text, &metadata);
    }
    if let Some(checksum) = Checksum::parse(text) {
        assert_eq!(checksum.digest.len(), checksum.algorithm.digest_bytes());
        assert!(text.starts_with(checksum.algorithm.name()));
    }
    let lines = text.trim_end_matches(['\r', '\n']);
    let Some(request) = request(lines) else {
        return;
    };
    let _ = check_version(&request);
    if let Ok(creation) = Creation::parse(&request) {
        check_creation(&request, &creation);
    }
    if let Ok(patch) = Patch::parse(&request) {
        let value = request.header("upload-offset").unwrap_or_default();
        assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(value.parse().unwrap_or(u64::MAX), patch.offset);
        assert_eq!(
            patch.length.is_some(),
            request.header("upload-length").is_some()
        );
    }
}

fn request(lines: &str) -> Option<Request> {
    let head = format!("POST /uploads/ HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    let parsed = parse_head(head.as_bytes(), &BOUNDS).ok()?;
    parsed.map(|(request, _)| request)
}

fn check_metadata(text: &str, metadata: &Metadata) {
    assert_eq!(metadata.as_header(), text);
    assert!(text.len() <= 4096 && metadata.pairs().len() <= 32);
    assert!(
        text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{text:?}"
    );
    for (index, (key, _)) in metadata.pairs().iter().enumerate() {
        assert!((1..=128).contains(&key.len()) && !key.contains([' ', ',']));
        assert!(
            metadata.pairs()[..index]
                .iter()
                .all(|(other, _)| other != key)
        );
    }
}

fn check_creation(request: &Request, creation: &Creation) {
    let says = |name: &str| request.header(name).is_some();
    let is_final = matches!(creation.concat, Concat::Final(_));
    match creation.length {
        Length::Known(bytes) => {
            assert!(bytes <= i64::MAX as u64 && !is_final && !says("upload-defer-length"));
        }
        Length::Deferred => assert!(!says("upload-length")),
    }
    assert_eq!(says("upload-concat"), creation.concat != Concat::None);
    if let Concat::Final(urls) = &creation.concat {
        assert!((1..=256).contains(&urls.len()) && !request.has_body());
        assert!(urls.iter().all(|url| !url.is_empty() && !url.contains(' ')));
    }
}
