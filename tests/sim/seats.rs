//! Shards over the pretended machine, a lap at a time, and asleep in between.
//!
//! Deliberately absent: whose turn it is, and what clients and workers do meanwhile (the worlds).

use core::time::Duration;
use ringway::control::Message;
use ringway::shard::Application;
use ringway_io::ShardId;
use ringway_runtime::{Bounds, Mesh, MeshBounds, Shard};
use ringway_service::files::UsedUrls;
use ringway_service::hub::Hub;
use ringway_service::settings::Settings;
use ringway_service::uploads::Found;
use ringway_sim::{Kernel, Random, SimDriver};
use rtrb::{Producer, RingBuffer};
use std::sync::Arc;

const LINGER: Duration = Duration::from_secs(2);

pub(crate) struct Seat {
    pub(crate) shard: Shard<SimDriver, Application>,
    pub(crate) control: Producer<Message>,
    /// It sleeps until then at most.
    pub(crate) parked: Option<Option<Duration>>,
}

/// Down to rings that hold one message.
pub(crate) fn mesh_bounds(random: &mut Random) -> MeshBounds {
    MeshBounds {
        deliver_bytes: 128 << random.below(6),
        request_bytes: 128 << random.below(6),
        replies_max: 1 + random.below(4),
    }
}

/// So many shards on one mesh, which are not started.
pub(crate) fn seats(
    machine: (&Kernel, &mut Random),
    shards: usize,
    settings: &Arc<Settings>,
    mesh_bounds: &MeshBounds,
    connections_max: u32,
) -> Vec<Seat> {
    seats_over(
        machine,
        shards,
        (settings, &[], &UsedUrls::default()),
        mesh_bounds,
        connections_max,
    )
}

/// The same, where earlier processes left something.
pub(crate) fn seats_over(
    (kernel, random): (&Kernel, &mut Random),
    shards: usize,
    (settings, found, used_urls): (&Arc<Settings>, &[Found], &UsedUrls),
    mesh_bounds: &MeshBounds,
    connections_max: u32,
) -> Vec<Seat> {
    let meshes = Mesh::build(shards as u16, mesh_bounds)
        .into_iter()
        .enumerate();
    let seats = meshes.map(|(index, mesh)| {
        let seed = core::array::from_fn(|_| random.next());
        let mut hub = Hub::new(index as u16, shards as u16, settings.clone(), seed);
        hub.adopt_uploads(found);
        hub.adopt_used_urls(used_urls);
        let (control, inbox) = RingBuffer::new(16);
        let bounds = Bounds {
            connections_max,
            linger: LINGER,
        };
        let (driver, application) = (kernel.driver(index), Application::new(hub));
        Seat {
            shard: Shard::new(driver, application, mesh, inbox, bounds),
            control,
            parked: None,
        }
    });
    seats.collect()
}

impl Seat {
    /// Whether the shard would go on if it were its turn.
    pub(crate) fn is_awake(&self, kernel: &Kernel, index: usize) -> bool {
        self.parked
            .is_none_or(|deadline| kernel.would_return(index, deadline))
    }

    /// One lap, unless it sleeps. It sleeps when the turn is over, so that others see it asleep.
    pub(crate) fn run(&mut self, kernel: &Kernel, random: &mut Random, index: usize) -> bool {
        let awake = self.is_awake(kernel, index);
        if awake {
            if let Some(deadline) = self.parked.take() {
                self.shard.reap(deadline);
            }
            self.shard.work();
            self.parked = Some(self.shard.park());
            if random.chance(50) {
                self.shard.handler().hub().audit();
            }
        }
        awake
    }
}

/// When the first of them wakes by itself.
pub(crate) fn next_timer(seats: &[Seat]) -> Option<Duration> {
    seats.iter().filter_map(|seat| seat.parked.flatten()).min()
}

/// The first shard that has mail though everybody sleeps, and nobody who owes it a wake wakes in time for that.
pub(crate) fn sleeps_over_mail(seats: &[Seat]) -> Option<usize> {
    let is_owed = |to: usize| {
        seats.iter().any(|seat| {
            let owed_at = seat.shard.owes_wake_at(ShardId(to as u16));
            owed_at.is_some_and(|at| seat.parked.flatten().is_some_and(|wakes_at| wakes_at <= at))
        })
    };
    (0..seats.len()).find(|index| seats[*index].shard.has_mail() && !is_owed(*index))
}
