//! Bytes that a hub asks the allocator for, for one more idle client: so that they cannot grow unseen.
//!
//! Deliberately absent: the loop's tables and what is reserved at the start, which their own files assert, and what the allocator adds;
//! `bench/scenarios/idle.toml` measures all of it.

use crate::room::Shard;
use allocation_counter::{AllocationInfo, measure};

/// As many again come, so that whatever doubles is as full as it was. Each has an address of its own, which costs some 70 bytes of the limits' tables.
const FIRST: u64 = 1024;
const GROUP: u64 = 100;
const BYTES_MAX: i64 = 275;
/// In hundredths.
const ALLOCATIONS_MAX: i64 = 10;

fn enter(shard: &mut Shard, numbers: core::ops::Range<u64>) {
    for number in numbers {
        let group = format!("group:{}", number / GROUP);
        shard.enter(number, &["common", &group]);
    }
}

/// What stays for each.
fn growth() -> AllocationInfo {
    let mut shard = Shard::empty();
    enter(&mut shard, 0..FIRST);
    measure(|| enter(&mut shard, FIRST..2 * FIRST))
}

#[test]
fn an_idle_client_is_small() {
    let growth = growth();
    let each = growth.bytes_current / FIRST as i64;
    let allocations = growth.count_current * 100 / FIRST as i64;
    assert!(
        each <= BYTES_MAX && allocations <= ALLOCATIONS_MAX,
        "{each} bytes, {allocations} hundredths of an allocation"
    );
}
