//! `ringway serve`: boot, shards on their threads, the control thread, and the way down.

use crate::admin;
use crate::check::{demand, ring_config, shard_count};
use crate::cli::ServeArgs;
use crate::config::Config;
use crate::control::{Control, Message};
use crate::files;
use crate::links::{self, LinkAddress};
use crate::metrics::{Metrics, Published};
use crate::settings::{admin_token, settings};
use crate::shard::Application;
use crate::start::StartError;
use crate::used_urls;
use core::time::Duration;
use ringway_runtime::{Bounds, Mesh, MeshBounds, Shard};
use ringway_service::files::UsedUrls;
use ringway_service::hub::Hub;
use ringway_service::settings::Settings;
use ringway_service::uploads::Found;
use ringway_uring::{
    Pool, ProcessClock, UringBuilder, UringDriver, Waker, bind_alone, bind_shared,
};
use rtrb::{Consumer, Producer, RingBuffer};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Messages of the control thread that one shard may have waiting.
const CONTROL_MESSAGES_MAX: usize = 256;
/// How long a closed connection may take to read its last bytes.
const LINGER: Duration = Duration::from_secs(2);
/// A shard copies its numbers out this often.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(200);
/// A daemon is gone before the kernel has taken its rings apart, which hold the listeners and the locked memory for some milliseconds more:
/// what is in use gets this long.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A refusal to start, with its code and remedy.
pub fn serve(args: &ServeArgs) -> Result<ExitCode, StartError> {
    let load = |args: &ServeArgs| {
        Config::load(
            args.config.config.as_deref(),
            std::env::vars(),
            &args.overrides(),
        )
    };
    let config = load(args)?;
    crate::log::start(&config.log)?;
    demand(&config)?;
    let settings = Arc::new(settings(&config)?);
    let unusable = |error: &io::Error| StartError::address_unusable(config.listen.address, error);
    let _claim = claim(&config.listen.address.to_string(), &unusable)?;
    let _claims = claim_links(&config)?;
    let _uploads = patient_claim(|| crate::uploads::claim(&config))?;
    let _used_urls = patient_claim(|| used_urls::claim(&config))?;
    let admin = admin_listener(config.admin.address)?;
    let admin_token = admin_token(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| io_error("tokio", &error))?;
    let signals = runtime.block_on(async { Signals::new() });
    let signals = signals.map_err(|error| io_error("signals", &error))?;
    // Behind this clients come in: whatever may keep a daemon from starting stands before it.
    let daemon = Daemon::start(&config, &settings)?;
    if config.dev {
        tracing::warn!(
            "--dev: anonymous clients may do everything and nothing is rate-limited; never use this in production"
        );
    }
    tracing::info!(clients = %config.listen.address, admin = %config.admin.address, shards = daemon.threads.len(), "serving");
    let router = admin::router(daemon.control.clone(), admin_token);
    let operating = operate(&config, (admin, router), signals, &daemon.control, || {
        load(args)
    });
    runtime.block_on(operating)?;
    daemon.join()
}

/// EMFILE of errno(3).
const TOO_MANY_FILES: i32 = 24;

fn io_error(what: &str, error: &io::Error) -> StartError {
    if error.raw_os_error() == Some(TOO_MANY_FILES) {
        let remedy = "raise LimitNOFILE (ulimit -n)";
        return StartError::new("RW-1005", format!("{what}: {error}"), remedy);
    }
    StartError::new("RW-1012", format!("{what}: {error}"), "see the cause")
}

fn admin_listener(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = patiently(|| TcpListener::bind(address))
        .map_err(|error| StartError::address_unusable(address, &error))?;
    listener
        .set_nonblocking(true)
        .map_err(|error| StartError::address_unusable(address, &error))?;
    Ok(listener)
}

/// What earlier processes left on the disk.
struct Left {
    uploads: Vec<Found>,
    used_urls: UsedUrls,
}

impl Left {
    fn find(config: &Config, settings: &Settings) -> Result<Self, StartError> {
        let uploads = settings.uploads.as_ref();
        let vault = uploads.and_then(|service| service.uploads.vault.as_deref());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            uploads: crate::uploads::found(config, vault)?,
            used_urls: used_urls::found(config, now.map_or(0, |since| since.as_secs()))?,
        })
    }
}

struct Daemon {
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

impl Daemon {
    fn start(config: &Config, settings: &Arc<Settings>) -> Result<Self, StartError> {
        let shards = shard_count(config);
        let left = Arc::new(Left::find(config, settings)?);
        let builders = builders(config, shards)?;
        let wakers: Vec<Waker> = builders.iter().map(UringBuilder::waker).collect();
        let published: Arc<[Published]> = (0..shards).map(|_| Published::default()).collect();
        let meshes = Mesh::build(
            shards,
            &MeshBounds::within(config.shards.mesh_bytes_max, shards),
        );
        let (ports, controls): (Vec<Producer<Message>>, Vec<Consumer<Message>>) = (0..shards)
            .map(|_| RingBuffer::new(CONTROL_MESSAGES_MAX))
            .unzip();
        let publish_bytes_max = config.engine.payload_bytes_max as usize;
        let control = Arc::new(Control::new(
            ports,
            wakers,
            Metrics::default(),
            published.clone(),
            publish_bytes_max,
        ));
        let bounds = Bounds {
            connections_max: config.shards.connections_max,
            linger: LINGER,
        };
        // A ring that does not run yet refuses sockets from others: no shard takes a client before all run.
        let all_run = Arc::new(Barrier::new(usize::from(shards)));
        let parts = builders.into_iter().zip(meshes).zip(controls).enumerate();
        let threads = parts
            .map(|(index, ((builder, mesh), control))| {
                let (settings, published) = (settings.clone(), published.clone());
                let (all_run, left) = (all_run.clone(), left.clone());
                let body = move || {
                    let driver = run_ring(index, builder, &all_run);
                    run_shard(
                        index,
                        driver,
                        mesh,
                        control,
                        bounds,
                        (settings, left),
                        &published[index],
                    )
                };
                thread::Builder::new()
                    .name(format!("shard-{index}"))
                    .spawn(body)
                    .map_err(|error| io_error("spawning a shard", &error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { control, threads })
    }

    /// A shard that panicked has lost its clients already: the process says so by its status.
    fn join(self) -> Result<ExitCode, StartError> {
        let failed = self
            .threads
            .into_iter()
            .filter_map(|thread| thread.join().err())
            .count();
        Ok(if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Claims an address for as long as this process lives. Each shard's socket shares the port by SO_REUSEPORT, so that a second daemon could, too, and
/// would get half of the clients: a name in the network's namespace has one owner. `None` where Unix sockets are forbidden.
fn claim(
    address: &str,
    unusable: &dyn Fn(&io::Error) -> StartError,
) -> Result<Option<UnixDatagram>, StartError> {
    let name = format!("ringway {address}");
    let bind = || UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(&name)?);
    match patiently(bind) {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(unusable(&error)),
        Err(_) => Ok(None),
    }
}

/// The same for where workers join: a socket that does not listen yet looks like one that was left.
fn claim_links(config: &Config) -> Result<Vec<Option<UnixDatagram>>, StartError> {
    let addresses = links::addresses(config)?;
    let claim_one = |address: &LinkAddress| {
        let unusable = |error: &io::Error| StartError::link_unusable(address, error);
        claim(&address.to_string(), &unusable)
    };
    addresses.iter().map(claim_one).collect()
}

/// Waits a moment for the end of a predecessor that has a directory.
fn patient_claim<T>(claim: impl Fn() -> Result<T, StartError>) -> Result<T, StartError> {
    let started = Instant::now();
    loop {
        match claim() {
            Err(_) if started.elapsed() < PREDECESSOR_PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

/// Waits a moment for the end of a predecessor that holds the port.
fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let started = Instant::now();
    loop {
        match bind() {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && started.elapsed() < PREDECESSOR_PATIENCE =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            outcome => return outcome,
        }
    }
}

/// Where any port will do, another process may have taken the chosen one before it is listened at.
const ANY_PORT_TRIES: u32 = 8;

fn builders(config: &Config, shards: u16) -> Result<Vec<UringBuilder>, StartError> {
    let tries = match config.listen.address.port() {
        0 => ANY_PORT_TRIES,
        _ => 1,
    };
    let listening = |_| match listening_builders(config, shards) {
        Err(error) if error.is_about_an_address() => None,
        outcome => Some(outcome),
    };
    let early = (1..tries).find_map(listening);
    early.unwrap_or_else(|| listening_builders(config, shards))
}

fn listening_builders(config: &Config, shards: u16) -> Result<Vec<UringBuilder>, StartError> {
    let address = config.listen.address;
    let unusable = |error: io::Error| StartError::address_unusable(address, &error);
    // A socket that shares its port does not see whoever does not.
    drop(patiently(|| bind_alone(address)).map_err(unusable)?);
    let mut builders = rings_patiently(config, shards)?;
    serve_files(config, &mut builders)?;
    // Only now: a client that had connected to a daemon that does not start would be reset.
    let listen = |builder: &UringBuilder| builder.listen(config.listen.backlog);
    builders.iter().try_for_each(listen).map_err(unusable)?;
    Ok(builders)
}

fn rings_patiently(config: &Config, shards: u16) -> Result<Vec<UringBuilder>, StartError> {
    let address = config.listen.address;
    let socket = |_| {
        bind_shared(address, config.listen.notsent_bytes_max)
            .map_err(|error| StartError::address_unusable(address, &error))
    };
    let started = Instant::now();
    loop {
        let mut sockets: Vec<Vec<OwnedFd>> = (0..shards)
            .map(|shard| Ok(vec![socket(shard)?]))
            .collect::<Result<_, StartError>>()?;
        sockets[0].extend(link_sockets(config)?);
        match rings(config, sockets) {
            Err(error)
                if error.kind() == ErrorKind::OutOfMemory
                    && started.elapsed() < PREDECESSOR_PATIENCE =>
            {
                thread::sleep(Duration::from_millis(50));
            }
            outcome => return outcome.map_err(|error| ring_error(&error)),
        }
    }
}

fn serve_files(config: &Config, builders: &mut [UringBuilder]) -> Result<(), StartError> {
    let Some(files) = files::ring_files(config) else {
        return Ok(());
    };
    for builder in builders {
        let directories = files::directories(config)?;
        builder
            .serve_files(&files, directories)
            .map_err(|error| ring_error(&error))?;
    }
    Ok(())
}

/// All links are the first shard's.
fn link_sockets(config: &Config) -> Result<Vec<OwnedFd>, StartError> {
    let bind = |address: &LinkAddress| {
        let unusable = |error: io::Error| StartError::link_unusable(address, &error);
        patiently(|| address.bind()).map_err(unusable)
    };
    links::addresses(config)?.iter().map(bind).collect()
}

/// Each thread has a ring to each shard.
const COMPUTE_THREADS_MAX: u16 = 64;

fn rings(config: &Config, sockets: Vec<Vec<OwnedFd>>) -> io::Result<Vec<UringBuilder>> {
    let threads = config.shards.compute_threads;
    let mut pool = Pool::new(threads.clamp(1, COMPUTE_THREADS_MAX).into())?;
    let ring = ring_config(config);
    let builders = UringBuilder::all(&ring, sockets, ProcessClock::start(), &mut pool)?;
    pool.start()?;
    Ok(builders)
}

/// Starts the ring on the shard's own thread, and waits for the others'.
fn run_ring(index: usize, builder: UringBuilder, all_run: &Barrier) -> UringDriver {
    let _ = ringway_runtime::pin(index);
    let driver = builder
        .start()
        .expect("a ring that was made can be started by its thread");
    all_run.wait();
    driver
}

fn ring_error(error: &io::Error) -> StartError {
    if error.kind() == ErrorKind::OutOfMemory {
        return StartError::new(
            "RW-1004",
            "RLIMIT_MEMLOCK does not leave enough for the rings beside what this user's other processes hold",
            "raise LimitMEMLOCK (ulimit -l), or run fewer shards",
        );
    }
    io_error("io_uring", error)
}

fn run_shard(
    index: usize,
    mut driver: UringDriver,
    mesh: Mesh,
    control: Consumer<Message>,
    bounds: Bounds,
    (settings, left): (Arc<Settings>, Arc<Left>),
    published: &Published,
) {
    use ringway_io::Driver as _;
    let seed = core::array::from_fn(|_| driver.entropy());
    let mut hub = Hub::new(index as u16, mesh.shards(), settings, seed);
    hub.adopt_uploads(&left.uploads);
    hub.adopt_used_urls(&left.used_urls);
    drop(left);
    let mut shard = Shard::new(driver, Application::new(hub), mesh, control, bounds);
    let mut next = Duration::ZERO;
    shard.run(|application, laps, now| {
        if application.take_asked() || now.monotonic >= next {
            next = now.monotonic + PUBLISH_INTERVAL;
            published.publish(application.hub().stats(), laps);
        }
    });
}

/// What an operator says to a process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

/// The control thread: admin port and signals, until the drain is over.
async fn operate(
    config: &Config,
    (admin, router): (TcpListener, axum::Router),
    mut signals: Signals,
    control: &Control,
    reload: impl Fn() -> Result<Config, StartError>,
) -> Result<(), StartError> {
    let refused = |error: io::Error| StartError::address_unusable(config.admin.address, &error);
    let listener = tokio::net::TcpListener::from_std(admin).map_err(refused)?;
    let serving = axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    );
    let server = tokio::spawn(async move { serving.await });
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hang_up.recv() => reload_settings(control, &reload),
        }
    }
    drain(config, control).await;
    server.abort();
    Ok(())
}

/// SIGHUP: a configuration that cannot be used changes nothing.
fn reload_settings(control: &Control, reload: &impl Fn() -> Result<Config, StartError>) {
    match reload().and_then(|config| settings(&config)) {
        Ok(fresh) => {
            let fresh = Arc::new(fresh);
            let all = control.tell_all(|| Message::Reload(fresh.clone()));
            if all {
                tracing::info!("reloaded keys, origins, proxies and limits");
            } else {
                tracing::warn!(
                    "a shard was too busy to take the reloaded settings; send SIGHUP again"
                );
            }
        }
        Err(error) => tracing::error!("nothing was reloaded: {error}"),
    }
}

/// Closes sessions over eight tenths of the deadline, and leaves the rest to the last bytes: it is over when no connection is left.
async fn drain(config: &Config, control: &Control) {
    let deadline = Duration::from_millis(u64::from(config.drain.deadline_ms));
    tracing::info!(open = control.open(), ?deadline, "draining");
    control.set_draining();
    let within_us = deadline.as_micros() as u64 / 10 * 8;
    control.tell_all(|| Message::Drain { within_us });
    let over = tokio::time::Instant::now() + deadline / 10 * 9;
    // The shards copy their numbers out every 200 ms: the first look is at numbers from after the drain began.
    let mut tick = tokio::time::interval_at(
        tokio::time::Instant::now() + PUBLISH_INTERVAL * 2,
        PUBLISH_INTERVAL,
    );
    while tokio::time::Instant::now() < over {
        control.tell_all(|| Message::Nudge);
        tick.tick().await;
        if control.open() == 0 {
            break;
        }
    }
    while !control.tell_all(|| Message::Exit) {
        tick.tick().await;
    }
    tracing::info!("drained");
}
