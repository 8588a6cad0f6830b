//! For which uploads files are opened now: so many at a time, the others wait in the order in which they came, and nobody is refused for it.
//!
//! Parts of bodies are bounded elsewhere ([`super::super::UploadsSettings::bodies_max`]): what opens nothing needs no turn, and so a body that comes keeps nobody waiting, however slow it is. An *opener*
//! is an upload whose turn it is, from the first of its jobs that opens something on, for as long as the next job begins when the one before is done: a request without a body has its turn until
//! it is answered, as what it opened stays open that long. An opener has its part open, and one file for the job that it is at.
//!
//! A job that has begun waits for jobs of its own upload at most, all of which have begun: so whoever has its turn comes to its end, and nobody waits for ever. Who waits has nothing open, but the part
//! of a body. At most as many wait as there are uploads.

use super::{Job, Step, Store, UploadId};
use crate::uploads::sealing::Chance;
use std::collections::{BTreeMap, VecDeque};

/// Uploads whose turn it is, and those that wait for theirs.
#[derive(Default)]
pub(super) struct Openers {
    count_max: usize,
    /// With the jobs that each of them is at.
    openers: BTreeMap<UploadId, u32>,
    /// Those that were at nothing, and may be at something again.
    resting: Vec<UploadId>,
    line: VecDeque<UploadId>,
    /// Jobs of those in the line, in the order in which they are to begin.
    waiting: BTreeMap<UploadId, Vec<u64>>,
}

impl Openers {
    pub(super) fn new(count_max: u32) -> Self {
        Self {
            count_max: count_max.max(1) as usize,
            ..Self::default()
        }
    }

    /// Whether a job that opens something may begin now.
    fn admit(&mut self, id: u64, upload: UploadId) -> bool {
        if let Some(jobs) = self.openers.get_mut(&upload) {
            *jobs += 1;
            return true;
        }
        if self.line.is_empty() && self.openers.len() < self.count_max {
            self.openers.insert(upload, 1);
            return true;
        }
        let jobs = self.waiting.entry(upload).or_default();
        if jobs.is_empty() {
            self.line.push_back(upload);
        }
        jobs.push(id);
        false
    }

    /// A job of an opener is over.
    pub(super) fn left(&mut self, upload: UploadId) {
        if let Some(jobs) = self.openers.get_mut(&upload) {
            *jobs -= 1;
            if *jobs == 0 {
                self.resting.push(upload);
            }
        }
    }

    /// Whose turn it is now: its jobs.
    fn next(&mut self) -> Option<Vec<u64>> {
        for upload in self.resting.drain(..) {
            if self.openers.get(&upload) == Some(&0) {
                self.openers.remove(&upload);
            }
        }
        if self.openers.len() >= self.count_max {
            return None;
        }
        let upload = self.line.pop_front()?;
        let jobs = self.waiting.remove(&upload).unwrap_or_default();
        self.openers.insert(upload, jobs.len() as u32);
        Some(jobs)
    }
}

impl Store {
    /// Whether a job may begin now.
    pub(super) fn admit(&mut self, id: u64) -> bool {
        let job = &self.jobs[&id];
        let (upload, is_piece) = (job.upload, job.is_piece);
        let opens = job.steps.iter().any(|step| self.opens(upload, step)) || self.follows(job);
        // The pieces of a body may come for hours, one behind the other: they keep nobody waiting.
        let stays = !is_piece && self.openers.openers.contains_key(&upload);
        if !opens && !stays {
            return true;
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.is_opening = true;
        }
        self.openers.admit(id, upload)
    }

    /// Whether it is a piece behind one that waits: what it finds open may be of pieces before that one, which did not count.
    fn follows(&self, job: &Job) -> bool {
        let waiting = self.openers.waiting.get(&job.upload);
        job.is_piece && waiting.is_some_and(|jobs| jobs.iter().any(|id| self.jobs[id].is_piece))
    }

    /// Whether a step opens a file, as things stand.
    fn opens(&self, upload: UploadId, step: &Step) -> bool {
        match step {
            Step::OpenPart { .. } => !self.parts.contains_key(&upload),
            Step::Place(at) => !self.is_placed(upload, *at),
            Step::OpenSource(_) | Step::OpenStored(_) | Step::CreateNew { .. } => true,
            _ => false,
        }
    }

    /// Begins what waited for its turn. To be called when all is begun that follows what is done: until then whoever had its turn has it. Whether something began.
    pub(crate) fn let_in(&mut self, entropy: Chance<'_>) -> bool {
        let Some(jobs) = self.openers.next() else {
            return false;
        };
        for id in jobs {
            self.go_on(id, entropy);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::FileRef;
    use crate::uploads::store::{Finished, StoreAnswer, StoreAsk};
    use crate::uploads::{Record, Ticket, Vault, Want};
    use core::any::Any;
    use std::rc::{Rc, Weak};
    use std::sync::Arc;

    /// A store, and a disk that does what it is asked when it is told to.
    struct World {
        store: Store,
        opened: Vec<Weak<dyn Any>>,
        begun: u64,
    }

    fn entropy() -> u64 {
        7
    }

    fn id(number: u128) -> UploadId {
        UploadId::new(number << 20, 0)
    }

    fn record(upload: UploadId) -> Vec<u8> {
        Record::new("anna".to_owned(), Some(3), upload.to_string()).encode()
    }

    fn create(upload: UploadId) -> Want {
        let record = record(upload);
        Want::Create { upload, record }
    }

    fn write(upload: UploadId, offset: u64) -> Want {
        Want::Write {
            upload,
            offset,
            bytes: 1,
        }
    }

    impl World {
        fn new(openers_max: u32, vault: Option<Arc<Vault>>) -> Self {
            Self {
                store: Store::new(vault, openers_max),
                opened: Vec::new(),
                begun: 0,
            }
        }

        /// The sequence of a want that is begun.
        fn begin(&mut self, want: Want) -> u64 {
            self.begun += 1;
            let (transfer, sequence) = (1, self.begun);
            let ticket = Ticket { transfer, sequence };
            self.store.begin(ticket, want, vec![1], &mut entropy);
            sequence
        }

        /// Does all that the disk was asked; gives how many asks that were.
        fn work(&mut self) -> usize {
            let asks: Vec<_> = core::iter::from_fn(|| self.store.next_ask()).collect();
            let count = asks.len();
            for (token, ask) in asks {
                let answer = match ask {
                    StoreAsk::Open { .. } => {
                        let file: FileRef = Rc::new(token);
                        self.opened.push(Rc::downgrade(&file));
                        StoreAnswer::Opened(Ok(file))
                    }
                    StoreAsk::Write { bytes, .. } => StoreAnswer::Wrote(bytes, Ok(())),
                    _ => StoreAnswer::Done(Ok(())),
                };
                self.store.answered(token, answer, &mut entropy);
            }
            count
        }

        /// Works until a want is done.
        fn next(&mut self) -> Option<u64> {
            loop {
                if let Some(Finished { ticket, result, .. }) = self.store.next_finished() {
                    assert_eq!(result, Ok(()));
                    return Some(ticket.sequence);
                }
                if !self.store.let_in(&mut entropy) && self.work() == 0 {
                    return None;
                }
            }
        }

        fn open(&self) -> usize {
            let files = self.opened.iter();
            files.filter(|file| file.strong_count() > 0).count()
        }
    }

    #[test]
    fn creations_open_two_files_each_for_so_many_at_a_time_and_none_fails() {
        let mut world = World::new(4, None);
        let begun: Vec<u64> = (1..=40).map(|it| world.begin(create(id(it)))).collect();
        let (mut done, mut open_most) = (Vec::new(), 0);
        while done.len() < begun.len() {
            while let Some(finished) = world.store.next_finished() {
                assert_eq!(finished.result, Ok(()));
                done.push(finished.ticket.sequence);
                world
                    .store
                    .release(id(u128::from(finished.ticket.sequence)));
            }
            while world.store.let_in(&mut entropy) {}
            world.work();
            open_most = open_most.max(world.open());
        }
        assert_eq!((done, open_most), (begun, 8), "in their order");
        assert!(world.store.is_idle() && world.open() == 0);
    }

    #[test]
    fn what_opens_nothing_waits_for_nobody() {
        let mut world = World::new(1, None);
        let body = world.begin(write(id(1), 0));
        assert_eq!(world.next(), Some(body));
        let creations = [2, 3].map(|it| world.begin(create(id(it))));
        let (upload, name, bytes) = (id(1), "a".to_owned(), 1);
        let others = [
            write(id(1), 1),
            Want::Sync { upload },
            Want::Finish {
                upload,
                name,
                bytes,
            },
            Want::Remove {
                upload: id(4),
                name: None,
            },
        ];
        let others = others.map(|want| world.begin(want));
        // Those that wait come last, and a slow body keeps nobody waiting.
        let done: Vec<u64> = core::iter::from_fn(|| world.next()).collect();
        assert_eq!(done.len(), creations.len() + others.len());
        assert_eq!(done.last(), creations.last());
    }

    /// One job of an upload waits for another one, which opens its part.
    #[test]
    fn jobs_of_an_upload_have_their_turn_together() {
        let vault = Vault::of_keys(&[[9; 32]]).map(Arc::new);
        for vault in [None, vault] {
            let mut world = World::new(1, vault);
            let created = world.begin(create(id(1)));
            assert_eq!(world.next(), Some(created));
            world.store.release(id(1));
            assert_eq!(world.next(), None);
            let other = world.begin(create(id(2)));
            let pieces = [0, 1, 2].map(|offset| world.begin(write(id(1), offset)));
            assert_eq!(world.next(), Some(other), "whose turn it is");
            let done: Vec<u64> = core::iter::from_fn(|| world.next()).collect();
            assert_eq!(done, pieces);
        }
    }

    /// What is known of the next byte may be of a body that did not count: the second piece would find its place before the first had one (seed 11548 of uploads).
    #[test]
    fn pieces_wait_for_those_before_them() {
        let mut world = World::new(1, Vault::of_keys(&[[9; 32]]).map(Arc::new));
        for want in [create(id(1)), write(id(1), 0)] {
            let begun = world.begin(want);
            assert_eq!(world.next(), Some(begun));
        }
        assert_eq!(world.next(), None);
        world.begin(create(id(2)));
        let again = [0, 1].map(|offset| world.begin(write(id(1), offset)));
        assert_eq!(world.store.openers.waiting[&id(1)], again);
    }

    #[test]
    fn a_turn_is_over_when_nothing_follows() {
        let mut world = World::new(1, None);
        let first = world.begin(create(id(1)));
        let second = world.begin(create(id(2)));
        assert_eq!(world.next(), Some(first));
        // What the next job has open it opens within the same turn.
        let upload = id(1);
        let record = record(upload);
        let next = world.begin(Want::Record { upload, record });
        assert_eq!(world.next(), Some(next));
        assert_eq!(world.next(), Some(second));
    }
}
