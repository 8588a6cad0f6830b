//! Workers and their links over the pretended kernel, a seed at a time: an application of several workers that are cut, killed, stalled and drained, and
//! one that lies, behind real hubs and the real exchange. `model` says what is right.

mod client;
mod liar;
mod link;
mod mirror;
mod model;
mod worker;
mod world;

pub(crate) use world::{LinkWorld, Report};

/// Of many seeds, what must have happened.
pub(crate) fn events(reports: &[Report]) -> [(&'static str, u64); 21] {
    let total = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    [
        ("events dispatched", total(|it| it.counts.dispatched)),
        ("events answered", total(|it| it.counts.answered)),
        ("words heard", total(|it| it.counts.words)),
        ("links cut", total(|it| it.cuts)),
        ("links resumed", total(|it| it.exchange.links_resumed)),
        ("workers killed", total(|it| it.kills)),
        ("workers that ended", total(|it| it.counts.deaths)),
        ("workers lost", total(|it| it.exchange.workers_lost)),
        ("workers stuck", total(|it| it.exchange.stalls)),
        ("clients resumed", total(|it| it.counts.resumed)),
        ("events skipped", total(|it| it.counts.skipped)),
        ("events again", total(|it| it.counts.again)),
        ("clients handed over", total(|it| it.counts.handed_over)),
        ("clients migrated", total(|it| it.exchange.clients_migrated)),
        ("stale frames", total(|it| it.exchange.frames_stale)),
        ("liars", total(|it| it.lies)),
        ("liars refused", total(|it| it.refused_lies)),
        ("namespaces left", total(|it| it.counts.parted)),
        ("sockets moved", total(|it| it.counts.moved)),
        ("moves passed over", total(|it| it.counts.passed_over)),
        (
            "moves before a word of the worker's",
            total(|it| it.counts.moved_unknown),
        ),
    ]
}
