//! Replays the vectors of what HTTP says about files: ranges, conditions, codings, paths.

use ringway_proto::http1::{
    self, Accepted, EntityTag, Precondition, RelativePath, Request, Selection, Validators,
    content_range, evaluate, parse_head, select_ranges, unsatisfied_range,
};
use ringway_proto::tus;
use serde_json::{Value, json};

macro_rules! vectors {
    ($name:literal) => {
        include_str!(concat!("../../../tests/vectors/", $name, ".json"))
    };
}

/// Runs each vector of a file through `result`, which gives what `expect` must say.
#[track_caller]
fn replay(file: &str, result: impl Fn(&Value) -> Value) {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    for vector in &vectors {
        let name = vector["name"].as_str().unwrap();
        assert_eq!(result(vector), vector["expect"], "{name}");
    }
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

fn number(vector: &Value, field: &str) -> u64 {
    vector[field].as_u64().unwrap()
}

fn request(vector: &Value) -> Request {
    let method = vector["method"].as_str().unwrap_or("GET");
    let headers = vector["headers"].as_array().unwrap();
    let lines = headers.iter().map(|line| line.as_str().unwrap());
    let lines: String = lines.map(|line| format!("{line}\r\n")).collect();
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let bounds = http1::Bounds {
        head_bytes_max: 16384,
        body_bytes_max: 1000,
    };
    parse_head(head.as_bytes(), &bounds).unwrap().unwrap().0
}

#[test]
fn http1_ranges() {
    replay(vectors!("http1-ranges"), |vector| {
        let length = number(vector, "length");
        match select_ranges(text(vector, "input"), length) {
            Selection::Whole => json!({ "status": 200 }),
            Selection::Parts(parts) => {
                let parts: Vec<String> = parts
                    .iter()
                    .map(|part| content_range(part, length))
                    .collect();
                json!({ "status": 206, "content_ranges": parts })
            }
            Selection::None => {
                json!({ "status": 416, "content_ranges": [unsatisfied_range(length)] })
            }
        }
    });
}

#[test]
fn http1_conditions() {
    replay(vectors!("http1-conditions"), |vector| {
        let own = Validators {
            etag: EntityTag::parse(text(vector, "etag")).unwrap(),
            modified_unix_seconds: number(vector, "modified_unix_seconds"),
        };
        let status = match evaluate(&request(vector), &own, number(vector, "now_unix_seconds")) {
            Precondition::Passed { ranges_apply: true } => 206,
            Precondition::Passed {
                ranges_apply: false,
            } => 200,
            Precondition::NotModified => 304,
            Precondition::Failed => 412,
        };
        json!({ "status": status })
    });
}

#[test]
fn http1_encodings() {
    replay(vectors!("http1-encodings"), |vector| {
        let ranked = Accepted::of(&request(vector)).ranked();
        json!(ranked.map(http1::Coding::name).collect::<Vec<_>>())
    });
}

#[test]
fn http1_paths() {
    replay(
        vectors!("http1-paths"),
        |vector| match RelativePath::parse(text(vector, "input")) {
            Ok(path) => json!({ "path": path.as_str(), "directory": path.is_directory }),
            Err(fault) => json!({ "status": fault.status() }),
        },
    );
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checksum_of(checksum: Option<&tus::Checksum>) -> Value {
    checksum.map_or(Value::Null, |checksum| {
        json!([checksum.algorithm.name(), hex_of(&checksum.digest)])
    })
}

fn creation_of(creation: &tus::Creation) -> Value {
    let concat = match &creation.concat {
        tus::Concat::None => Value::Null,
        tus::Concat::Partial => json!("partial"),
        tus::Concat::Final(urls) => json!(urls),
    };
    let length = match creation.length {
        tus::Length::Known(bytes) => json!(bytes),
        tus::Length::Deferred => json!("deferred"),
    };
    let pairs = creation.metadata.pairs().iter();
    let pairs: Vec<Value> = pairs
        .map(|(key, value)| json!([key, hex_of(value)]))
        .collect();
    json!({
        "length": length, "metadata": pairs, "concat": concat,
        "checksum": checksum_of(creation.checksum.as_ref()),
    })
}

#[test]
fn tus_heads() {
    replay(vectors!("tus-heads"), |vector| {
        let request = request(vector);
        let parsed = tus::check_version(&request).and_then(|()| tus::Method::of(&request));
        let parsed = parsed.and_then(|method| match method {
            tus::Method::Post => tus::Creation::parse(&request).map(|it| creation_of(&it)),
            tus::Method::Patch => tus::Patch::parse(&request).map(|patch| {
                let checksum = checksum_of(patch.checksum.as_ref());
                json!({ "offset": patch.offset, "length": patch.length, "checksum": checksum })
            }),
            other => Ok(json!({ "method": format!("{other:?}").to_uppercase() })),
        });
        parsed.unwrap_or_else(|error| match error {
            tus::TusError::Header(name) => json!({ "status": 400, "header": name }),
            other => json!({ "status": other.status() }),
        })
    });
}
