//! Which CPU a shard runs on: those that the cgroup's cpuset allows, in turn when there are more shards than CPUs.

use core_affinity::CoreId;

/// The CPUs that this process may use.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect()
}

/// Pins the calling thread for shard `index`; gives the CPU, or `None` when the host does not tell or allow.
#[must_use]
pub fn pin(index: usize) -> Option<usize> {
    let cpus = allowed_cpus();
    let id = *cpus.get(index % cpus.len().max(1))?;
    core_affinity::set_for_current(CoreId { id }).then_some(id)
}
