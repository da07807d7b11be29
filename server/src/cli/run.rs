//! Carries commands out.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use sd_notify::NotifyState;
use serde_json::json;
use simsync_protocol::api::MovingTo;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Card, Cli, Command, Import, Move, Subscriber, Terminal};
use super::confirm;
use super::dispatch::execute;
use super::failure::Failure;
use super::import;
use super::print::{self, Shape};
use crate::admin::{AdminCommand, Outcome};
use crate::app::system_clock;
use crate::config::{Limits, Share};
use crate::home::{Home, HomeError};
use crate::server::{self};
use crate::store::types::SubscriberState;

/// Entry point of the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SIMSYNC_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(|| simsync_shell::VisibleLines(std::io::stderr()))
        .with_ansi(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("simsync-server: no runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(exit) => exit,
        Err(failure) => {
            if json {
                let error = json!({ "exit_code": failure.exit, "message": failure.sentence });
                print::json(&json!({ "error": error }));
            }
            eprintln!(
                "simsync-server: {}",
                simsync_shell::visible(&failure.sentence)
            );
            ExitCode::from(failure.exit)
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let Some(dir) = cli.dir else {
        return Err(Failure {
            exit: 2,
            sentence: "name the server's folder: --dir D, or SIMSYNC_SERVER_DIR".to_owned(),
        });
    };
    let (order, shape) = match cli.command {
        Command::Init { name, listen } => {
            let home = Home::init(&dir, &name, &listen)?;
            print::init(&home, &home.ca_pin()?, cli.json);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Show => {
            let home = Home::open(&dir)?;
            print::init(&home, &home.ca_pin()?, cli.json);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Serve {
            listen,
            open_per_minute,
            connections,
            connections_per_address,
        } => {
            let default = Limits::default();
            let process = Share {
                connections: connections.unwrap_or(default.process.connections),
                ..default.process
            };
            let limits = Limits {
                process,
                open_per_minute: open_per_minute.unwrap_or(default.open_per_minute),
                connections_per_address: connections_per_address
                    .unwrap_or(default.connections_per_address),
                ..default
            };
            serve(&dir, listen, limits, cli.json).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Card(Card::Check { list, key }) => {
            let outcome = import::check(&dir, &list, &key).await?;
            print::outcome(&outcome, Shape::Table, cli.json);
            let agrees = matches!(&outcome, Outcome::CardCheck(d) if d.is_empty());
            return Ok(if agrees {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(7)
            });
        }
        Command::Subscriber(Subscriber::Remove { id, yes }) => {
            (confirm::subscriber(&dir, &id, yes).await?, Shape::Table)
        }
        Command::Subscriber(c) => match subscriber_order(c) {
            Ok(order) => order,
            Err(import) => {
                let outcome = import::subscribers(&dir, &import).await?;
                print::imported(&outcome, &import, cli.json);
                return Ok(ExitCode::SUCCESS);
            }
        },
        Command::Card(Card::List { subscriber }) => {
            (AdminCommand::CardList { subscriber }, Shape::Table)
        }
        Command::Card(Card::Revoke { card, yes }) => {
            (confirm::card(&dir, &card, yes).await?, Shape::Table)
        }
        Command::Terminal(Terminal::List { subscriber }) => {
            (AdminCommand::TerminalList { subscriber }, Shape::Table)
        }
        Command::Terminal(Terminal::Revoke { terminal, yes }) => {
            (confirm::terminal(&dir, &terminal, yes).await?, Shape::Table)
        }
        Command::Move(Move::Arrive { name, listen }) => {
            let home = Home::open(&dir)?.arrive(&name, listen)?;
            home.store()?
                .set_moving(None, system_clock()())
                .await
                .map_err(HomeError::from)?;
            print::init(&home, &home.ca_pin()?, cli.json);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Move(c) => (move_order(&dir, c)?, Shape::Table),
        Command::Audit { verify: true } => (AdminCommand::Audit, Shape::Verification),
        Command::Audit { verify: false } => (AdminCommand::Audit, Shape::Table),
    };
    let outcome = execute(&dir, order).await?;
    print::outcome(&outcome, shape, cli.json);
    let broken = matches!(
        outcome,
        Outcome::Audit {
            broken: Some(_),
            ..
        }
    );
    Ok(if broken {
        ExitCode::from(6)
    } else {
        ExitCode::SUCCESS
    })
}

fn move_order(dir: &Path, command: Move) -> Result<AdminCommand, Failure> {
    Ok(match command {
        Move::To { address, ca_pin } => {
            let ca_pin = match ca_pin {
                Some(pin) => pin,
                None => Home::open(dir)?.ca_pin()?,
            };
            AdminCommand::Move {
                to: Some(MovingTo { address, ca_pin }),
            }
        }
        Move::Cancel => AdminCommand::Move { to: None },
        Move::Show | Move::Arrive { .. } => AdminCommand::Moving,
    })
}

/// The order, or what needs files too.
fn subscriber_order(command: Subscriber) -> Result<(AdminCommand, Shape), Import> {
    let set = |id, state| AdminCommand::SubscriberSet { id, state };
    let order = match command {
        Subscriber::Add { label, id } => AdminCommand::SubscriberAdd { label, id },
        Subscriber::Import(import) => return Err(import),
        Subscriber::Code { id } => AdminCommand::SubscriberCode { id },
        Subscriber::List => AdminCommand::SubscriberList,
        Subscriber::Show { id } => AdminCommand::SubscriberShow { id },
        Subscriber::Suspend { id } => set(id, SubscriberState::Suspended),
        Subscriber::Resume { id } => set(id, SubscriberState::Active),
        // Looked up and asked about before.
        Subscriber::Remove { .. } => AdminCommand::SubscriberList,
    };
    Ok((order, Shape::Table))
}

async fn serve(
    dir: &Path,
    listen: Option<String>,
    limits: Limits,
    json: bool,
) -> Result<(), Failure> {
    let home = Home::open(dir)?;
    let listen = listen.unwrap_or_else(|| home.settings.listen.clone());
    // Before the server is ready, so that no order to stop is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = server::start(&home, &listen, limits, system_clock()).await?;
    print::ready(&running.address.to_string(), json);
    tell(NotifyState::Ready);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    tell(NotifyState::Stopping);
    running.stop().await;
    Ok(())
}

/// Tells systemd how the service is, if it asks.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
