//! The bodies that are JSON: rare frames, and those of the handshake, whose text a proof is computed over.

use super::field::Field;
use super::reader::Reader;
use super::{LinkError, Long};
use core::marker::PhantomData;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A JSON object: what it says, and its text as it was received or will be sent.
#[derive(Clone, Debug)]
pub struct Json<'a, T> {
    text: Cow<'a, str>,
    // Frames that are not JSON outnumber these by far and are small.
    value: Box<T>,
}

impl<T> Json<'_, T> {
    /// The text, byte for byte: proofs are computed over it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// What it says, for keeps.
    #[must_use]
    pub fn into_value(self) -> T {
        *self.value
    }
}

impl<T: Serialize> Json<'_, T> {
    /// A body of our own.
    ///
    /// # Panics
    /// Never: these shapes always serialise.
    #[must_use]
    pub fn new(value: T) -> Self {
        let text = serde_json::to_string(&value).expect("these shapes always serialise");
        Self {
            text: text.into(),
            value: value.into(),
        }
    }
}

/// The text says everything.
impl<T> PartialEq for Json<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Json<'_, T> {}

impl<'a, T: Deserialize<'a>> Field<'a> for Json<'a, T> {
    const BYTES_MIN: usize = 4;

    fn read(body: &mut Reader<'a>) -> Result<Self, LinkError> {
        let Long(text) = Long::read(body)?;
        let mut json = serde_json::Deserializer::from_str(text);
        let value = object(&mut json).and_then(|value| json.end().map(|()| value));
        let value = value.map_err(|error| LinkError::json(body.kind(), &error))?;
        Ok(Self {
            text: text.into(),
            value: Box::new(value),
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        Long(&self.text).write(out);
    }
}

/// A header's name and value.
pub type Header<'a> = (Cow<'a, str>, Cow<'a, str>);

/// CHALLENGE.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Challenge<'a> {
    /// Major and minor version.
    pub proto: [u32; 2],
    /// 128 random bits at least.
    #[serde(borrow)]
    pub nonce: Cow<'a, str>,
    /// The daemon's life.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
}

/// HELLO.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// Major and minor version.
    pub proto: [u32; 2],
    /// The application that it belongs to.
    #[serde(borrow)]
    pub app: Cow<'a, str>,
    /// The worker's life.
    #[serde(borrow)]
    pub instance: Cow<'a, str>,
    /// What it does.
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    /// 128 random bits at least.
    #[serde(borrow)]
    pub nonce: Cow<'a, str>,
    /// What people call it.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<Cow<'a, str>>,
    /// How many clients it takes beside others.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub weight: Option<u32>,
    /// What it wants to go on with.
    #[serde(
        default,
        deserialize_with = "present_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub resume: Option<ResumePoint<'a>>,
    /// What it can do beyond the version.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub caps: Option<Vec<Cow<'a, str>>>,
}

impl Hello<'_> {
    /// Whether it names a capability.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        let mut caps = self.caps.iter().flatten();
        caps.any(|cap| cap == capability)
    }
}

/// How far a worker came in an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumePoint<'a> {
    /// The daemon's life.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// Counted frames that it has dealt with.
    pub received: u64,
}

/// WELCOME.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// Major and minor version.
    pub proto: [u32; 2],
    /// The daemon's life.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// Whether both go on where they were.
    pub resumed: bool,
    /// Counted frames of the worker that were dealt with.
    pub received: u64,
    /// What may be on the way.
    #[serde(deserialize_with = "object")]
    pub window: WindowSize,
    /// How long clients of a worker that is gone are held.
    pub hold_ms: u32,
    /// How long a link may be gone.
    pub grace_ms: u32,
    /// What it can do beyond the version.
    pub caps: Vec<Cow<'a, str>>,
    /// Namespaces that are the daemon's own: workers get no clients in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub native: Vec<Cow<'a, str>>,
    /// Bytes of a client's message at most, whatever BIND says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes_max: Option<u32>,
}

/// Counted frames on the way at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// How many.
    pub frames: u32,
    /// Their bytes, headers included.
    pub bytes: u32,
}

/// BIND.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bind<'a> {
    /// The path of the requests.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// The server's options, an object.
    #[serde(borrow, deserialize_with = "raw_object")]
    pub opts: &'a RawValue,
    /// For which requests the worker is asked.
    #[serde(borrow)]
    pub rpc: Cow<'a, str>,
    /// Whether packets may be looked into.
    #[serde(borrow)]
    pub parser: Cow<'a, str>,
    /// The namespaces that it has.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub namespaces: Option<Vec<Cow<'a, str>>>,
}

/// What becomes of the clients of a side that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GoAwayMode {
    /// They are held for the next worker.
    Keep,
    /// They are closed.
    Close,
    /// They go to other workers one by one.
    Migrate,
}

/// GOAWAY.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GoAway<'a> {
    /// What becomes of the clients.
    pub mode: GoAwayMode,
    /// Why, for people.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// When the link will be closed.
    pub deadline_ms: u32,
}

/// OPEN: a client and the request that it came with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Open<'a> {
    /// Its session.
    #[serde(borrow)]
    pub sid: Cow<'a, str>,
    /// Its version of Engine.IO.
    pub proto: u32,
    /// How it came: `polling` or `websocket`.
    #[serde(borrow)]
    pub transport: Cow<'a, str>,
    /// Whence.
    #[serde(borrow)]
    pub address: Cow<'a, str>,
    /// Whether over TLS.
    pub secure: bool,
    /// The request's method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Its target.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// Its headers, in the order in which they came.
    pub headers: Vec<Header<'a>>,
}

/// RESUME: a client of a worker that is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resume<'a> {
    /// As it was said when it came.
    #[serde(flatten, borrow)]
    pub open: Open<'a>,
    /// Where it is.
    #[serde(borrow, deserialize_with = "objects")]
    pub sockets: Vec<ResumedSocket<'a>>,
}

/// A client in a namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumedSocket<'a> {
    /// The namespace.
    #[serde(borrow)]
    pub nsp: Cow<'a, str>,
    /// The socket's name.
    #[serde(borrow)]
    pub sid: Cow<'a, str>,
    /// Its secret name, by which it can come back.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub pid: Option<Cow<'a, str>>,
    /// Its rooms.
    pub rooms: Vec<Cow<'a, str>>,
    /// What it said when it connected.
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth: Option<&'a RawValue>,
    /// What the application keeps with it.
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub data: Option<&'a RawValue>,
}

/// HS_REQ: a request that the worker judges.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HsRequest<'a> {
    /// The request's method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Its target.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// Its headers, in the order in which they came.
    pub headers: Vec<Header<'a>>,
    /// Whence.
    #[serde(borrow)]
    pub address: Cow<'a, str>,
    /// Whether over TLS.
    pub secure: bool,
    /// The session, if it has one.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub sid: Option<Cow<'a, str>>,
}

/// HS_RES: the judgement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HsResponse<'a> {
    /// Whether it may come in.
    pub ok: bool,
    /// Headers for the answer.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub headers: Option<Vec<Header<'a>>>,
    /// The session's name.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub sid: Option<Cow<'a, str>>,
    /// The answer's status.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub status: Option<u16>,
    /// The answer's body.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub body: Option<Cow<'a, str>>,
    /// The code of the refusal in Engine.IO.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub code: Option<u32>,
    /// What the application says of it, an object.
    #[serde(
        borrow,
        default,
        deserialize_with = "present_raw_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub context: Option<&'a RawValue>,
}

/// CONN_ERROR: a request that was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnError<'a> {
    /// The code of Engine.IO.
    pub code: u32,
    /// In words.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// More of it, an object.
    #[serde(borrow, deserialize_with = "raw_object")]
    pub context: &'a RawValue,
    /// The request's method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Its target.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// Its headers, in the order in which they came.
    pub headers: Vec<Header<'a>>,
}

/// A struct that is written as an object: serde would take a list of its fields as well.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<T, D::Error> {
    json.deserialize_map(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// An optional key that is there has a value: `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<Option<T>, D::Error> {
    T::deserialize(json).map(Some)
}

fn present_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    json: D,
) -> Result<Option<T>, D::Error> {
    object(json).map(Some)
}

/// A list of objects.
fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::<Wrapped<T>>::deserialize(json)?;
    Ok(items.into_iter().map(|Wrapped(item)| item).collect())
}

struct Wrapped<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wrapped<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        object(json).map(Self)
    }
}

/// An object that only travels on.
fn raw_object<'de, D: Deserializer<'de>>(json: D) -> Result<&'de RawValue, D::Error> {
    let raw = <&RawValue>::deserialize(json)?;
    if raw.get().starts_with('{') {
        return Ok(raw);
    }
    Err(serde::de::Error::custom("an object was expected"))
}

fn present_raw_object<'de, D: Deserializer<'de>>(
    json: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    raw_object(json).map(Some)
}
