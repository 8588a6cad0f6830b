//! What a room's members hear of uploads that name it: `progress(room, {id, offset, length}, meta)`, at most once a second for each, and
//! `file(room, {id, url, bytes, …}, meta)` when one is whole.
//!
//! Rates hold for news as for messages. An upload that names a room costs its user an event when it is created (`uploaders.rs`), which pays for its `file`; its
//! `progress` costs the user one of as many again, so that whoever uploads much can still speak; and the room's home counts both against the room's rate.
//!
//! Deliberately absent: who may name a room (`uploads/begin.rs`), and a promise: after a crash at the wrong moment nobody is told, and what is beyond the room's
//! rate, also a `file`, is left out and counted as refused (RW-2203). It does not wait: members would hear of files later and later in a room that is always
//! full, and a queue for it would need a bound at which it is lost all the same. A HEAD always says what there is.

use super::{Hub, Turn};
use crate::files::{Grant, UrlClass};
use crate::rooms::{Attempt, Publish, RoomEvent};
use crate::time::Now;
use crate::uploads::{Event, UploadId};
use ringway_proto::http1::escape_path;
use ringway_proto::tus::Metadata;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Between two words about the progress of one upload.
const PROGRESS_US: u64 = 1_000_000;
/// News that wait for ring space; beyond it the oldest are never told.
const UNTOLD_MAX: usize = 1024;

/// What is to be told.
#[derive(Default)]
pub(crate) struct UploadNews {
    untold: VecDeque<Event>,
    /// When members last heard of the progress of an upload, and how far it was.
    progress: BTreeMap<UploadId, (u64, u64)>,
}

impl UploadNews {
    /// Something happened. Whoever named no room has nobody to tell, and of progress as much is told as its user may tell.
    fn take(&mut self, event: Event, now: Now, may_tell: impl FnOnce(&str) -> bool) {
        let is_news = match &event {
            Event::Progress { room: None, .. } | Event::Finished { room: None, .. } => false,
            Event::Progress {
                upload,
                offset,
                subject,
                ..
            } => self.is_due(*upload, *offset, now) && may_tell(subject),
            Event::Finished { upload, .. } => {
                self.progress.remove(upload);
                true
            }
        };
        if is_news {
            self.untold.push_back(event);
        }
        if self.untold.len() > UNTOLD_MAX {
            self.untold.pop_front();
        }
    }

    fn is_due(&mut self, upload: UploadId, offset: u64, now: Now) -> bool {
        let last = self.progress.get(&upload).copied();
        let is_due = last
            .is_none_or(|(at_us, told)| at_us + PROGRESS_US <= now.monotonic_us && offset != told);
        if is_due {
            self.progress.insert(upload, (now.monotonic_us, offset));
        }
        is_due
    }

    /// Who was told of longer ago is due anyway.
    pub(crate) fn forget_old(&mut self, now: Now) {
        let is_recent = |at_us: u64| at_us + 60 * PROGRESS_US > now.monotonic_us;
        self.progress.retain(|_, (at_us, _)| is_recent(*at_us));
    }
}

impl Hub {
    /// Something happened that members may hear of.
    pub(super) fn take_news(&mut self, event: Event, now: Now) {
        let (limits, dev) = (&mut self.limits, self.settings.dev);
        if let Some(uploads) = &mut self.uploads {
            let may_tell = |subject: &str| dev || limits.progress(now, subject);
            uploads.news.take(event, now, may_tell);
        }
    }

    /// Tells members what happened, as far as there is ring space.
    pub(super) fn tell_of_uploads(&mut self, turn: &mut Turn<'_>) {
        while let Some(event) = self.next_news() {
            if !self.tell_of_upload(&event, turn) {
                if let Some(uploads) = &mut self.uploads {
                    uploads.news.untold.push_front(event);
                }
                return;
            }
        }
    }

    fn next_news(&mut self) -> Option<Event> {
        self.uploads.as_mut()?.news.untold.pop_front()
    }

    /// `false`: there is no space in the ring to the room's home.
    fn tell_of_upload(&mut self, event: &Event, turn: &mut Turn<'_>) -> bool {
        let (event, room, upload, data) = match event {
            Event::Progress {
                upload,
                room,
                offset,
                length,
                ..
            } => {
                let data = json!({ "id": upload.to_string(), "offset": offset, "length": length });
                (RoomEvent::Progress, room, upload, data)
            }
            Event::Finished { upload, room, .. } => {
                let data = self.file_data(event, turn.now);
                (RoomEvent::File, room, upload, data)
            }
        };
        let (Some(room), Some(uploads)) = (room, &self.uploads) else {
            return true;
        };
        let namespace = uploads.service.namespace.clone();
        // The application has rooms of its own there, of which nobody here knows.
        if self.is_upstream(&namespace) {
            return true;
        }
        let (data, upload) = (data.to_string(), upload.to_string());
        let publish = Publish {
            event,
            is_limited: true,
            namespace: &namespace,
            room,
            from: "server",
            data: &data,
            attachments: &[],
            // A member that reads slowly needs the last word alone.
            key: (event == RoomEvent::Progress).then_some(&*upload),
        };
        let attempt = self.rooms.publish(turn.now, turn.post, None, &publish);
        self.settle_rooms(turn);
        if let Attempt::Refused(refusal) = attempt {
            self.stats.refused(refusal);
        }
        !matches!(attempt, Attempt::Full)
    }

    fn file_data(&self, event: &Event, now: Now) -> Value {
        let Event::Finished {
            upload,
            name,
            subject,
            bytes,
            metadata,
            ..
        } = event
        else {
            return Value::Null;
        };
        let metadata = Metadata::parse(metadata).unwrap_or_default();
        let filename = metadata.text("filename").or_else(|| metadata.text("name"));
        let pairs = metadata.pairs().iter();
        let texts = pairs.filter_map(|(key, _)| Some((key.clone(), metadata.text(key)?.into())));
        json!({
            "id": upload.to_string(),
            "url": self.url_of_upload(name, filename, now),
            "bytes": bytes,
            "subject": subject,
            "metadata": texts.collect::<Map<String, Value>>(),
        })
    }

    /// A URL by which whoever has it may read the file for a while; without keys it is open to `--dev` and to tokens alone.
    fn url_of_upload(&self, name: &str, filename: Option<&str>, now: Now) -> String {
        let Some(uploads) = &self.uploads else {
            return String::new();
        };
        let path = format!("{}{name}", uploads.service.whole_prefix);
        match &self.settings.url_keys {
            Some(keys) => keys.mint(&Grant {
                class: UrlClass::Read,
                path: &path,
                expires_unix_seconds: now.unix_ms / 1000 + uploads.service.url_seconds,
                download: filename.filter(|filename| !filename.is_empty()),
                subject: None,
                rooms: None,
                once: None,
            }),
            None => escape_path(&path),
        }
    }
}
