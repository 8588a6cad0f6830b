//! What is kept of uploads: records, locks, and whole files that are encrypted; and journals of used one-time URLs. Whoever can write to the directory can write anything there.

use ringway_service::files::{Entry, Replay};
use ringway_service::uploads::{
    Found, Lock, Record, UploadId, Uploads, UploadsSettings, Vault, unseal,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const ID: UploadId = UploadId::new(1 << 100, 3);

/// The file of a record, or a lock and a file: divided by the first zero, if there is one.
pub fn stored(data: &[u8]) {
    let vault = Vault::of_keys(&[[7; 32]]).map(|vault| vault.with_segments(16));
    let vault = vault.expect("a key");
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (first, rest) = (parts.next().unwrap_or_default(), parts.next());
    if let Some(record) = Record::decode(ID, first) {
        assert_eq!(Record::decode(ID, &record.encode()), Some(record));
    }
    if let Some(lock) = Lock::decode(first) {
        assert_eq!(Lock::decode(&lock.encode()).as_ref(), Some(&lock));
        assert!(lock.runs().first().is_some_and(|run| run.first == 0));
        assert!(lock.runs().is_sorted_by(|one, next| one.first < next.first));
    }
    // Nothing opens that was not sealed by the key.
    let opened = unseal(&vault, ID, first, rest.unwrap_or_default());
    assert_eq!(opened, None);
    adopt(first, rest.map(|rest| rest.len() as u64), vault);
    journal(data);
}

/// However a journal is cut into pieces it says the same, and what it says reads as it was written.
fn journal(data: &[u8]) {
    let (used, unreadable) = replay(data, data.len().max(1));
    assert_eq!(replay(data, 1), (used.clone(), unreadable));
    let mut written = Vec::new();
    for (id, expires_unix_seconds) in &used {
        let (id, expires_unix_seconds) = (*id, *expires_unix_seconds);
        let entry = Entry::Used {
            id,
            expires_unix_seconds,
        };
        entry.append(&mut written);
    }
    assert_eq!(replay(&written, 7), (used, 0));
}

fn replay(data: &[u8], piece_bytes: usize) -> (BTreeMap<u128, u64>, u64) {
    let mut replay = Replay::default();
    data.chunks(piece_bytes)
        .for_each(|piece| replay.push(piece));
    replay.finish()
}

/// A process that starts on it takes it or leaves it.
fn adopt(record: &[u8], part_bytes: Option<u64>, vault: Vault) {
    let settings = UploadsSettings {
        vault: Some(Arc::new(vault)),
        ..UploadsSettings::default()
    };
    let mut uploads = Uploads::new(settings);
    let found = Found {
        upload: ID,
        record: Some(record.to_vec()),
        part_bytes,
        final_bytes: None,
    };
    uploads.recover(1_800_000_000, &found);
    while uploads.poll().is_some() {}
    let stats = uploads.stats();
    assert!(stats.uploads + stats.records_unreadable <= 1);
}
