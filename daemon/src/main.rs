//! simsyncd's command line.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sd_notify::NotifyState;
use simsyncd::api::Status;
use simsyncd::bus::{self, BusAgents, BusService};
use simsyncd::config::Config;
use simsyncd::paths::Paths;
use simsyncd::rules::Event;
use simsyncd::service::{self, Running, Setup};
use simsyncd::watch;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A scan of 100,000 files needs memory for a moment only. The C library's allocator keeps it in pieces between the
/// few things that stay; this one gives it back within seconds (docs/decisions/0010-jemalloc.md has the figures).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long stopping in good order may take.
const STOP: Duration = Duration::from_secs(15);

/// Exit code: something went wrong.
const FAILED: u8 = 1;
/// Exit code: the bus or the name on it cannot be had.
const NO_BUS: u8 = 3;
/// Exit code: a file of ours is bad (`EX_CONFIG`); systemd does not restart on it.
const BAD_FILE: u8 = 78;

/// simsyncd makes a person's data follow their card.
#[derive(Debug, Parser)]
#[command(
    name = "simsyncd",
    version,
    about = "Makes a person's data follow their card",
    long_about = "simsyncd watches cards, data and the server, and makes a person's data follow their card. It runs as the \
        person whose files it moves; talk to it with simsync.",
    after_long_help = "Exit codes:\n  0   stopped in good order\n  1   it failed\n  2   the command line is wrong\n  \
        3   the bus, or the name on it, cannot be had\n  78  a file of simsync's is bad; it is named"
)]
struct Args {
    /// Keep configuration, state and cache below this folder instead of the XDG folders
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Offer the service on the bus at this address instead of the session bus
    #[arg(long, value_name = "ADDRESS", env = "SIMSYNC_BUS_ADDRESS")]
    bus: Option<String>,
    /// What to log, for example debug or simsyncd=debug,zbus=warn
    #[arg(
        long,
        value_name = "FILTER",
        env = "SIMSYNC_LOG",
        default_value = "info,zbus=warn"
    )]
    log: String,
}

/// Why it ends, and with what.
struct Failure {
    code: u8,
    sentence: String,
}

fn failure(code: u8) -> impl Fn(&dyn std::fmt::Display) -> Failure {
    move |why| Failure {
        code,
        sentence: why.to_string(),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("simsyncd: {}", simsync_shell::visible(&failure.sentence));
            ExitCode::from(failure.code)
        }
    }
}

fn start(args: &Args) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log).map_err(|e| Failure {
        code: 2,
        sentence: format!("{} is no log filter: {e}", args.log),
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A file's name can neither forge a line nor drive the terminal emulator that somebody watches the log in.
        .with_writer(|| simsync_shell::VisibleLines(std::io::stderr()))
        // Colours are a feature of the library that is not built in: asked for on a terminal, they end the program.
        .with_ansi(false)
        .init();
    protect_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| failure(FAILED)(&format!("it cannot start: {e}")))?;
    let result = runtime.block_on(run(args));
    // Threads that wait for a card or a person must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// No core dumps and no other process of the user that reads our memory; no swap where the limits allow it.
fn protect_memory() {
    use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
    // Under a limit every later allocation would have to fit into it, and the program would end when one does not.
    // systemd's LimitMEMLOCK=infinity lifts it where the administrator allows that; docs/man/simsyncd.8 says more.
    if getrlimit(Resource::Memlock).current.is_none() {
        use rustix::mm::{MlockAllFlags, mlockall};
        let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        if let Err(error) = mlockall(all) {
            tracing::info!(%error, "memory cannot be kept from swap");
        }
    }
}

async fn run(args: &Args) -> Result<(), Failure> {
    let paths = match &args.home {
        Some(home) => {
            let home = std::path::absolute(home).map_err(|e| failure(BAD_FILE)(&e))?;
            Paths::below(&home)
        }
        None => Paths::from_environment().map_err(|e| failure(BAD_FILE)(&e))?,
    };
    let config = Config::load(&paths.config).map_err(|e| failure(BAD_FILE)(&e))?;
    let conn = connect(args.bus.as_deref()).await?;
    // Before any file of ours is opened: another daemon may be at work in them.
    match bus::name_is_taken(&conn).await {
        Ok(false) => {}
        Ok(true) => return Err(failure(NO_BUS)(&bus::BusServiceError::NameTaken)),
        Err(e) => return Err(failure(NO_BUS)(&e)),
    }
    let agents = BusAgents::default();
    let running = service::start(Setup {
        paths,
        config,
        agents: Arc::new(agents.clone()),
    })
    .map_err(|e| match &e {
        service::StartError::Thread(_) => failure(FAILED)(&e),
        _ => failure(BAD_FILE)(&e),
    })?;
    let events = running.events.clone();
    agents.on_appear(move || send(&events, Event::AgentAppeared));
    let offered = match bus::run_with_connection(conn, running.handle.clone(), agents).await {
        Ok(offered) => offered,
        Err(e) => {
            stop(running).await?;
            return Err(failure(NO_BUS)(&e));
        }
    };
    start_watchers(&running);
    until_the_end(running, offered).await
}

async fn connect(address: Option<&str>) -> Result<zbus::Connection, Failure> {
    let builder = match address {
        Some(address) => zbus::connection::Builder::address(address),
        None => zbus::connection::Builder::session(),
    };
    // With an object from the start the builder waits until incoming calls are heard.
    let builder = builder.serve_at(bus::names::ROOT, zbus::fdo::ObjectManager);
    builder.build().await.map_err(|e| {
        failure(NO_BUS)(&format!(
            "there is no bus to offer the service on ({e}); log in with systemd's user manager, or name a bus with --bus"
        ))
    })
}

fn send(events: &mpsc::UnboundedSender<Event>, event: Event) {
    // Nobody listens only while the daemon ends.
    let _ = events.send(event);
}

fn start_watchers(running: &Running) {
    let events = running.events.clone();
    let roots = running.roots.clone();
    let vouches = running.vouches.clone();
    tokio::spawn(watch::data::run(roots, vouches, move |e| send(&events, e)));
    let events = running.events.clone();
    tokio::spawn(watch::reader::run(move |e| send(&events, e)));
    let events = running.events.clone();
    let bus = watch::login::Bus::System;
    tokio::spawn(watch::login::run(bus.clone(), move |e| send(&events, e)));
    let events = running.events.clone();
    let pace = watch::modem::Pace::default();
    tokio::spawn(watch::modem::run(bus, pace, move |e| send(&events, e)));
}

/// Tells the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

fn status_line(status: &Status) -> String {
    match status.reasons.first() {
        Some(reason) => format!("{}: {}", status.state, reason.sentence),
        None => status.state.to_string(),
    }
}

/// Runs until a signal, the service's own end, or the bus's.
async fn until_the_end(mut running: Running, mut offered: BusService) -> Result<(), Failure> {
    let no_signals =
        |e: std::io::Error| failure(FAILED)(&format!("signals cannot be awaited: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut status = running.handle.status.clone();
    let line = status_line(&status.borrow_and_update().clone());
    notify(&[NotifyState::Ready, NotifyState::Status(&line)]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "simsyncd runs");
    let mut last = line;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            ended = &mut running.task => {
                return match ended {
                    Ok(()) => Ok(()),
                    Err(e) => Err(failure(FAILED)(&format!("simsyncd failed: {e}"))),
                };
            }
            _ = &mut offered.task => {
                stop(running).await?;
                return Err(failure(NO_BUS)(&"the bus ended; simsyncd starts again with it"));
            }
            changed = status.changed() => {
                // Without a sender the service is about to end, which the task tells.
                if changed.is_err() {
                    return stop(running).await;
                }
                let line = status_line(&status.borrow_and_update().clone());
                if line != last {
                    notify(&[NotifyState::Status(&line)]);
                    last = line;
                }
            }
        }
    }
    stop(running).await
}

/// Stops in good order, within [`STOP`].
async fn stop(running: Running) -> Result<(), Failure> {
    notify(&[NotifyState::Stopping]);
    tracing::info!("simsyncd stops");
    // As an event and not as a request: requests may wait in a full queue. It is closed when it stopped already.
    send(&running.events, Event::Stop);
    match tokio::time::timeout(STOP, running.task).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(failure(FAILED)(&format!("simsyncd failed: {e}"))),
        Err(_) => Err(failure(FAILED)(
            &"simsyncd did not stop in good order within 15 seconds; what is unfinished is made good at the next start",
        )),
    }
}
