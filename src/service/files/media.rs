//! Content types by the end of a name.
//!
//! A table of our own: of the well-kept crate's 1,400 rows these are the ones that browsers treat differently from bytes, and each row says besides
//! what no crate's table says, whether it is text and whether compressing it pays. What is not in it is `application/octet-stream`, which nothing
//! executes.

/// How files of one kind are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// The value of Content-Type.
    pub content_type: &'static str,
    /// Whether compressing makes it notably smaller.
    pub compresses: bool,
    /// Whether somebody may have compressed it beforehand: whatever is not known to be compressed already. To look beside each image for what is never there would
    /// cost three opens whenever it was not asked for lately.
    pub may_be_packed: bool,
}

/// What nobody knows anything about.
const BYTES: Media = Media {
    content_type: "application/octet-stream",
    compresses: false,
    may_be_packed: true,
};

const fn packed(content_type: &'static str) -> Media {
    Media {
        content_type,
        compresses: true,
        may_be_packed: true,
    }
}

const fn stored(content_type: &'static str) -> Media {
    Media {
        content_type,
        compresses: false,
        may_be_packed: false,
    }
}

/// By extension in lower case, sorted.
const TABLE: &[(&str, Media)] = &[
    ("7z", stored("application/x-7z-compressed")),
    ("aac", stored("audio/aac")),
    ("apk", stored("application/vnd.android.package-archive")),
    ("apng", stored("image/apng")),
    ("atom", packed("application/atom+xml; charset=utf-8")),
    ("avif", stored("image/avif")),
    ("bin", BYTES),
    ("bmp", packed("image/bmp")),
    ("br", stored("application/octet-stream")),
    ("bz2", stored("application/x-bzip2")),
    ("cjs", packed("text/javascript; charset=utf-8")),
    ("conf", packed("text/plain; charset=utf-8")),
    ("css", packed("text/css; charset=utf-8")),
    ("csv", packed("text/csv; charset=utf-8")),
    ("doc", packed("application/msword")),
    (
        "docx",
        stored("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ),
    ("eot", packed("application/vnd.ms-fontobject")),
    ("epub", stored("application/epub+zip")),
    (
        "exe",
        stored("application/vnd.microsoft.portable-executable"),
    ),
    ("flac", stored("audio/flac")),
    ("geojson", packed("application/geo+json; charset=utf-8")),
    ("gif", stored("image/gif")),
    ("glb", packed("model/gltf-binary")),
    ("gltf", packed("model/gltf+json; charset=utf-8")),
    ("gz", stored("application/gzip")),
    ("heic", stored("image/heic")),
    ("htm", packed("text/html; charset=utf-8")),
    ("html", packed("text/html; charset=utf-8")),
    ("ico", packed("image/vnd.microsoft.icon")),
    ("ics", packed("text/calendar; charset=utf-8")),
    ("jar", stored("application/java-archive")),
    ("jpeg", stored("image/jpeg")),
    ("jpg", stored("image/jpeg")),
    ("js", packed("text/javascript; charset=utf-8")),
    ("json", packed("application/json; charset=utf-8")),
    ("jsonl", packed("application/jsonl; charset=utf-8")),
    ("jsonld", packed("application/ld+json; charset=utf-8")),
    ("jxl", stored("image/jxl")),
    ("log", packed("text/plain; charset=utf-8")),
    ("m3u8", packed("application/vnd.apple.mpegurl")),
    ("m4a", stored("audio/mp4")),
    ("m4s", stored("video/iso.segment")),
    ("m4v", stored("video/mp4")),
    ("map", packed("application/json; charset=utf-8")),
    ("md", packed("text/markdown; charset=utf-8")),
    ("mid", packed("audio/midi")),
    ("mjs", packed("text/javascript; charset=utf-8")),
    ("mkv", stored("video/matroska")),
    ("mov", stored("video/quicktime")),
    ("mp3", stored("audio/mpeg")),
    ("mp4", stored("video/mp4")),
    ("mpd", packed("application/dash+xml; charset=utf-8")),
    ("mpeg", stored("video/mpeg")),
    (
        "odp",
        stored("application/vnd.oasis.opendocument.presentation"),
    ),
    (
        "ods",
        stored("application/vnd.oasis.opendocument.spreadsheet"),
    ),
    ("odt", stored("application/vnd.oasis.opendocument.text")),
    ("oga", stored("audio/ogg")),
    ("ogg", stored("audio/ogg")),
    ("ogv", stored("video/ogg")),
    ("opus", stored("audio/ogg")),
    ("otf", packed("font/otf")),
    ("parquet", stored("application/vnd.apache.parquet")),
    ("pdf", stored("application/pdf")),
    ("png", stored("image/png")),
    ("ppt", packed("application/vnd.ms-powerpoint")),
    (
        "pptx",
        stored("application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ),
    ("rar", stored("application/vnd.rar")),
    ("rss", packed("application/rss+xml; charset=utf-8")),
    ("rtf", packed("application/rtf")),
    ("srt", packed("text/plain; charset=utf-8")),
    ("svg", packed("image/svg+xml; charset=utf-8")),
    ("tar", packed("application/x-tar")),
    ("tif", packed("image/tiff")),
    ("tiff", packed("image/tiff")),
    ("toml", packed("application/toml; charset=utf-8")),
    ("ts", stored("video/mp2t")),
    ("tsv", packed("text/tab-separated-values; charset=utf-8")),
    ("ttf", packed("font/ttf")),
    ("txt", packed("text/plain; charset=utf-8")),
    ("vcf", packed("text/vcard; charset=utf-8")),
    ("vtt", packed("text/vtt; charset=utf-8")),
    ("wasm", packed("application/wasm")),
    ("wav", packed("audio/wav")),
    ("weba", stored("audio/webm")),
    ("webm", stored("video/webm")),
    (
        "webmanifest",
        packed("application/manifest+json; charset=utf-8"),
    ),
    ("webp", stored("image/webp")),
    ("woff", stored("font/woff")),
    ("woff2", stored("font/woff2")),
    ("xhtml", packed("application/xhtml+xml; charset=utf-8")),
    ("xls", packed("application/vnd.ms-excel")),
    (
        "xlsx",
        stored("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ),
    ("xml", packed("application/xml; charset=utf-8")),
    ("xz", stored("application/x-xz")),
    ("yaml", packed("application/yaml; charset=utf-8")),
    ("yml", packed("application/yaml; charset=utf-8")),
    ("zip", stored("application/zip")),
    ("zst", stored("application/zstd")),
];

/// The longest extension of the table.
const EXTENSION_BYTES_MAX: usize = 11;

impl Media {
    /// What a file of that name is.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let Some((_, extension)) = name.rsplit_once('.') else {
            return BYTES;
        };
        let mut lower = [0; EXTENSION_BYTES_MAX];
        let Some(lower) = lower.get_mut(..extension.len()) else {
            return BYTES;
        };
        lower.copy_from_slice(extension.as_bytes());
        lower.make_ascii_lowercase();
        let found = TABLE.binary_search_by(|(name, _)| name.as_bytes().cmp(lower));
        found.map_or(BYTES, |index| TABLE[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_fits() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        for (extension, media) in TABLE {
            assert!(extension.len() <= EXTENSION_BYTES_MAX);
            assert_eq!(Media::of(&format!("a.{extension}")), *media);
            assert_eq!(*extension, extension.to_ascii_lowercase());
            let is_text = media.content_type.starts_with("text/");
            assert!(!is_text || media.content_type.ends_with("; charset=utf-8"));
        }
    }

    #[test]
    fn names_say_what_they_are() {
        for (name, content_type) in [
            ("a.html", "text/html; charset=utf-8"),
            ("A.JPG", "image/jpeg"),
            ("a.tar.gz", "application/gzip"),
            ("html", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            ("a.nobody-knows-it", "application/octet-stream"),
            ("a.é", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(Media::of(name).content_type, content_type, "{name}");
        }
    }
}
