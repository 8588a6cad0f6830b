//! Replays the vectors of answers: from a request and what `stat` says to the bytes of the head and the segments of the body.

use super::*;
use ringway_proto::http1::{self, Coding, parse_head};
use serde_json::{Value, json};

fn coding(name: &str) -> Coding {
    let found = Coding::ALL.into_iter().find(|coding| coding.name() == name);
    found.unwrap()
}

fn root(value: &Value) -> Root {
    let text = |field: &str| value[field].as_str().map(str::to_owned);
    let yes = |field: &str| value[field].as_bool().unwrap_or(false);
    Root {
        prefix: "/files/".to_owned(),
        access: Access::Open,
        index: text("index"),
        cache_control: text("cache_control"),
        precompressed: yes("precompressed"),
        compress: yes("compress"),
        always_download: yes("always_download"),
        locks: None,
    }
}

/// Bytes, seconds, inode.
fn stat(value: &Value) -> Stat {
    Stat {
        bytes: value[0].as_u64().unwrap(),
        modified_unix_seconds: value[1].as_u64().unwrap(),
        modified_nanoseconds: 0,
        inode: value[2].as_u64().unwrap(),
        device: 1,
        changed_ns: i128::from(value[1].as_u64().unwrap()) * 1_000_000_000,
        links: 1,
        permissions: 0,
    }
}

/// The seconds that a signed URL has left, or how often it is good.
fn signed_of(value: &Value) -> Option<SignedUrl> {
    let left = value.as_u64().or_else(|| value.as_str().map(|_| 60))?;
    Some(SignedUrl {
        expires_unix_seconds: 1_700_000_000 + left,
        is_once: value == "once",
    })
}

fn segment(segment: &Segment) -> Value {
    match segment {
        Segment::Bytes(bytes) => json!(String::from_utf8(bytes.clone()).unwrap()),
        Segment::File(range) => json!([range.start, range.end]),
    }
}

fn plan_of(plan: &Plan) -> Value {
    let head = core::str::from_utf8(&plan.head).unwrap();
    let (head, body) = head.split_once("\r\n\r\n").unwrap();
    let mut segments: Vec<Value> = plan.body.iter().map(segment).collect();
    if !body.is_empty() {
        segments.push(json!(body));
    }
    let lines: Vec<&str> = head.split("\r\n").collect();
    let mut value = json!({ "head": lines, "body": segments });
    if plan.stored != Coding::Identity {
        value["stored"] = json!(plan.stored.name());
    }
    if let Some(compress) = plan.compress {
        value["compress"] = json!(compress.name());
    }
    if let Some(encoded) = plan.encoded {
        value["encoded"] = json!(encoded.name());
    }
    if plan.is_chunked {
        value["chunked"] = json!(true);
    }
    value
}

fn answer(vector: &Value) -> Value {
    let settings = FilesSettings::new(vec![root(&vector["root"])]).unwrap();
    let lines = vector["request"].as_array().unwrap();
    let lines: String = lines
        .iter()
        .map(|line| format!("{}\r\n", line.as_str().unwrap()))
        .collect();
    let bounds = http1::Bounds {
        head_bytes_max: 8192,
        body_bytes_max: 0,
    };
    let head = format!("{lines}Host: a\r\n\r\n");
    let request = parse_head(head.as_bytes(), &bounds).unwrap().unwrap().0;
    let is_head = request.method == "HEAD";
    let wanted = match settings.wanted(&request) {
        Ok(wanted) => wanted,
        Err(refused) => {
            let head = refused.answer(&[], is_head, true);
            let text = String::from_utf8(head).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let body: Vec<&str> = Some(body).filter(|it| !it.is_empty()).into_iter().collect();
            return json!({ "head": head.split("\r\n").collect::<Vec<_>>(), "body": body });
        }
    };
    let facts = Facts {
        request: &request,
        wanted: &wanted,
        now_unix_seconds: 1_700_000_000,
        boundary: 0xb0,
        headers: &[],
        keep_alive: request.keeps_alive(),
        signed: signed_of(&vector["signed"]),
    };
    if vector["directory"].as_bool() == Some(true) {
        let plan = redirect(&settings, &facts);
        return plan.map_or_else(|| json!({ "status": 404 }), |plan| plan_of(&plan));
    }
    // What the shard finds of what it is told to look for.
    let found = vector["siblings"].as_object();
    let siblings: Vec<(Coding, Stat)> = found
        .into_iter()
        .flatten()
        .map(|(name, value)| (coding(name), stat(value)))
        .filter(|(coding, _)| wanted.siblings.contains(coding))
        .collect();
    // How long the file is in each coding that it was compressed to before.
    let made = &vector["made"];
    let encoded = |coding: Coding| match (&made[coding.name()], made.as_str()) {
        (_, Some("never")) => Form::Never,
        (length, _) => length.as_u64().map_or(Form::Unmade, Form::Made),
    };
    let file = stat(&vector["file"]);
    let plan = respond(&settings, &facts, &file, &siblings, &encoded);
    let mut value = plan_of(&plan);
    value["path"] = json!(wanted.path.as_str());
    value
}

#[test]
fn file_answers() {
    let file = include_str!("../../../tests/vectors/file-answers.json");
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    for vector in &vectors {
        let (got, expected) = (answer(vector), &vector["expect"]);
        let name = vector["name"].as_str().unwrap();
        assert_eq!(got, *expected, "{name}");
    }
}
