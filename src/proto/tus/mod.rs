//! Heads of tus 1.0.0, the protocol of resumable uploads: core, creation (with upload, with deferred length), checksum, concatenation.
//!
//! Deliberately absent: uploads. What is here says what a request asks for, not whether it may have it.

mod checksum;
mod head;
mod metadata;

pub use checksum::{Algorithm, Checksum};
pub use head::{Concat, Creation, Length, Method, Patch, TusError, check_version};
pub use metadata::Metadata;

/// The only version that is spoken.
pub const VERSION: &str = "1.0.0";
/// The extensions that are there, as Tus-Extension names them.
pub const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration,concatenation";
/// What bodies of uploads are.
pub const MEDIA_TYPE: &str = "application/offset+octet-stream";
/// Headers that a browser's page must be allowed to send (CORS).
pub const REQUEST_HEADERS: &str = "Authorization, Content-Type, Tus-Resumable, Upload-Checksum, Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Request-ID, X-Requested-With";
/// Headers that a browser's page must be allowed to see (CORS).
pub const RESPONSE_HEADERS: &str = "Location, Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset";
