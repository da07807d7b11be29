//! `simsync doctor`

use simsync_codes::{CardState, Code, State};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use simsync_shell::visible;

use crate::args::Common;
use crate::client::Client;
use crate::commands::status;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::output::{Output, Style};
use crate::snapshot::Snapshot;

/// How long the server may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the system bus may take to answer.
const SYSTEM_BUS: Duration = Duration::from_secs(2);
/// Folders that are counted at most.
const COUNT_MAX: u64 = 500_000;
/// No honest clock is before this: 2026-01-01.
const CLOCK_MIN: u64 = 1_767_225_600;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Finding {
    Ok,
    Warning,
    Failed,
    Unknown,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    finding: Finding,
    sentence: String,
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            name,
            finding: Finding::Ok,
            sentence: sentence.into(),
            remedy: None,
        }
    }

    fn bad(
        name: &'static str,
        finding: Finding,
        sentence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name,
            finding,
            sentence: sentence.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Checks everything that simsync needs. It ends with 0 when nothing failed.
pub async fn run(common: &Common, output: &Output) -> Outcome<Exit> {
    let mut checks = Vec::new();
    let blocking = tokio::task::spawn_blocking(smart_card_service).await;
    checks.extend(blocking.unwrap_or_default());
    let snapshot = daemon(common, &mut checks).await;
    checks.push(cards(snapshot.as_ref()));
    checks.push(server(snapshot.as_ref()).await);
    checks.push(login(snapshot.as_ref()));
    checks.push(clock(snapshot.as_ref()).await);
    checks.push(watches(snapshot.as_ref()));
    checks.push(in_sync(snapshot.as_ref()));
    let failed = checks.iter().any(|c| c.finding == Finding::Failed);
    output.result("checks", &checks, || text(&checks, output));
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn text(checks: &[Check], output: &Output) -> String {
    let mut out = String::new();
    for check in checks {
        let (style, sign) = match check.finding {
            Finding::Ok => (Style::Good, "✓"),
            Finding::Warning => (Style::Warn, "!"),
            Finding::Failed => (Style::Bad, "✗"),
            Finding::Unknown => (Style::Dim, "?"),
        };
        out.push_str(&format!(
            "{} {}: {}\n",
            output.paint(style, sign),
            check.name,
            visible(&check.sentence)
        ));
        if let Some(remedy) = &check.remedy {
            out.push_str(&format!("    {}\n", visible(remedy)));
        }
    }
    out
}

fn smart_card_service() -> Vec<Check> {
    use Finding::Failed;
    let context = match pcsc::Context::establish(pcsc::Scope::User) {
        Ok(context) => context,
        Err(pcsc::Error::SecurityViolation) => {
            return vec![Check::bad(
                "pcscd",
                Failed,
                "the smart card service refuses you",
                "log in at the machine itself, or let polkit allow org.debian.pcsc-lite.access_pcsc for your user",
            )];
        }
        Err(e) => {
            return vec![Check::bad(
                "pcscd",
                Failed,
                format!("the smart card service does not answer ({e})"),
                "install and start it: apt install pcscd; systemctl enable --now pcscd.socket",
            )];
        }
    };
    let service = Check::ok("pcscd", "the smart card service answers");
    let readers = match context.list_readers_owned() {
        Ok(readers) if !readers.is_empty() => {
            let names: Vec<_> = readers.iter().map(|r| r.to_string_lossy()).collect();
            Check::ok("reader", names.join(", "))
        }
        Ok(_) | Err(pcsc::Error::NoReadersAvailable) => Check::bad(
            "reader",
            Failed,
            "no card reader is known to the smart card service",
            "plug one in; if it is in, install its driver (for most: apt install libccid)",
        ),
        Err(e) => Check::bad(
            "reader",
            Failed,
            format!("readers cannot be listed ({e})"),
            "restart the smart card service: systemctl restart pcscd",
        ),
    };
    vec![service, readers]
}

async fn daemon(common: &Common, checks: &mut Vec<Check>) -> Option<Snapshot> {
    let client = match Client::connect(common.bus.as_deref()).await {
        Ok(client) => client,
        Err(failure) => {
            checks.push(Check::bad(
                "bus",
                Finding::Failed,
                failure.sentence,
                "log in to a desktop or with systemd's user manager, or name a bus with --bus",
            ));
            return None;
        }
    };
    checks.push(Check::ok("bus", "the session bus answers"));
    match client.snapshot().await {
        Ok(snapshot) => {
            let own = env!("CARGO_PKG_VERSION");
            checks.push(if snapshot.version == own {
                Check::ok("daemon", format!("simsyncd {own} runs"))
            } else {
                Check::bad(
                    "daemon",
                    Finding::Warning,
                    format!("simsyncd is {}, this is {own}", snapshot.version),
                    "restart it: systemctl --user restart simsyncd",
                )
            });
            Some(snapshot)
        }
        Err(failure) => {
            checks.push(Check::bad(
                "daemon",
                Finding::Failed,
                failure.sentence,
                "start it: systemctl --user enable --now simsyncd; its log: journalctl --user -u simsyncd",
            ));
            None
        }
    }
}

fn unknown(name: &'static str) -> Check {
    Check::bad(
        name,
        Finding::Unknown,
        "it cannot be told without simsyncd",
        "start simsyncd first",
    )
}

fn cards(snapshot: Option<&Snapshot>) -> Check {
    let Some(s) = snapshot else {
        return unknown("card");
    };
    let Some(card) = s
        .cards
        .iter()
        .min_by_key(|c| (c.state != CardState::Paired, c.state == CardState::Foreign))
    else {
        return Check::bad(
            "card",
            Finding::Warning,
            "no card is in",
            "put yours in; if it is in, turn it round",
        );
    };
    let sentence = format!("{}: {}", card.reader, super::status::card_sentence(card));
    let remedy = match card.state.known() {
        Some(CardState::Paired) if card.pin_must_change => "change it: simsync pin change",
        Some(CardState::Paired) => return Check::ok("card", sentence),
        Some(CardState::Foreign) => {
            "put the applet on it and personalise it: simsync-card provision; or put another card in"
        }
        Some(CardState::Unpaired) => "pair this terminal with it: simsync pair",
        Some(CardState::Blocked) => "unblock it with the PUK: simsync-card pin unblock",
        _ => "take it out and put it in again; clean its contacts",
    };
    let finding = match card.state.known() {
        Some(CardState::Blocked | CardState::Failed) => Finding::Failed,
        _ => Finding::Warning,
    };
    Check::bad("card", finding, sentence, remedy)
}

async fn server(snapshot: Option<&Snapshot>) -> Check {
    let Some(s) = snapshot else {
        return unknown("server");
    };
    let Some(server) = &s.server else {
        return Check::bad(
            "server",
            Finding::Unknown,
            "no server is known before pairing",
            "pair this terminal: simsync pair",
        );
    };
    if s.online == Some(true) {
        return Check::ok("server", format!("{server} answers"));
    }
    let connecting = tokio::net::TcpStream::connect(server.as_str());
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok(_)) => Check::ok("server", format!("{server} takes connections")),
        Ok(Err(e)) => Check::bad(
            "server",
            Finding::Failed,
            format!("{server} cannot be reached ({e})"),
            "look at the network; ask the operator whether the server runs; changes wait here until then",
        ),
        Err(_) => Check::bad(
            "server",
            Finding::Failed,
            format!("{server} does not answer"),
            "look at the network and its firewall; ask the operator whether the server runs",
        ),
    }
}

fn in_sync(snapshot: Option<&Snapshot>) -> Check {
    let Some(s) = snapshot else {
        return unknown("in sync");
    };
    let remedy = "`simsync status --all` says for each what helps";
    if s.state == State::ReadOnly {
        let why = s.reasons.first();
        let sentence = why.map_or("nothing is written", |r| r.sentence.as_str());
        let unproven = why.is_some_and(|r| r.code == Code::RecordUnproven);
        let remedy = if unproven {
            "put the card into your other terminals; if none has more than the server, `simsync server accept-restored`"
        } else {
            "ask the server's operator"
        };
        return Check::bad("in sync", Finding::Failed, sentence, remedy);
    }
    if s.need_attention > 0 {
        let sentence = format!("{} of your paths are not, and need you", s.need_attention);
        return Check::bad("in sync", Finding::Failed, sentence, remedy);
    }
    if s.tried_again > 0 {
        let sentence = format!("{} of your paths are not yet", s.tried_again);
        return Check::bad("in sync", Finding::Warning, sentence, remedy);
    }
    if let Some(error) = &s.last_error {
        let sentence = error.sentence.clone();
        return Check::bad(
            "in sync",
            Finding::Warning,
            sentence,
            "it is tried again by itself",
        );
    }
    match s.state.known() {
        Some(State::Synced | State::Closed) => {
            Check::ok("in sync", "everything is, as far as this terminal knows")
        }
        Some(State::Pending | State::Offline | State::Syncing) => Check::bad(
            "in sync",
            Finding::Warning,
            status::state_sentence(&s.state),
            "`simsync status` tells how it goes on",
        ),
        _ => Check::bad(
            "in sync",
            Finding::Unknown,
            "nobody can tell while no session is open",
            "put your card in: simsync unlock",
        ),
    }
}

fn login(snapshot: Option<&Snapshot>) -> Check {
    let Some(s) = snapshot else {
        return unknown("login session");
    };
    match (s.login_active, s.login_locked) {
        (Some(false), _) => Check::bad(
            "login session",
            Finding::Warning,
            "yours is not the active one; simsync waits",
            "switch to it",
        ),
        (_, Some(true)) => Check::bad(
            "login session",
            Finding::Warning,
            "yours is locked; simsync waits",
            "unlock the screen",
        ),
        (Some(true), Some(false)) => Check::ok("login session", "active and unlocked"),
        _ => Check::bad(
            "login session",
            Finding::Unknown,
            "nobody can tell whether it is active and unlocked (no logind)",
            "nothing to do, unless login_session is `required` in config.json",
        ),
    }
}

async fn clock(snapshot: Option<&Snapshot>) -> Check {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let remedy = "set it: timedatectl set-ntp true";
    let last = snapshot.and_then(|s| s.last_sync_ms).unwrap_or(0);
    let behind_itself = u128::try_from(last).is_ok_and(|l| l > now.as_millis() + 60_000);
    if now.as_secs() < CLOCK_MIN || behind_itself {
        return Check::bad(
            "clock",
            Finding::Failed,
            "this machine's clock is wrong",
            remedy,
        );
    }
    match tokio::time::timeout(SYSTEM_BUS, clock_is_synchronized()).await {
        Ok(Ok(true)) => Check::ok("clock", "synchronized"),
        Ok(Ok(false)) => Check::bad(
            "clock",
            Finding::Warning,
            "not synchronized with a time server",
            remedy,
        ),
        _ => Check::ok(
            "clock",
            "plausible; nobody can tell whether it is synchronized",
        ),
    }
}

async fn clock_is_synchronized() -> zbus::Result<bool> {
    let conn = zbus::Connection::system().await?;
    let name = "org.freedesktop.timedate1";
    let proxy = zbus::Proxy::new(&conn, name, "/org/freedesktop/timedate1", name).await?;
    proxy.get_property("NTPSynchronized").await
}

fn watches(snapshot: Option<&Snapshot>) -> Check {
    let reached = |s: &Snapshot| s.reasons.iter().any(|r| r.code == Code::WatchLimit);
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches")
        .ok()
        .and_then(|t| t.trim().parse::<u64>().ok());
    let Some(limit) = limit else {
        return Check::bad(
            "watches",
            Finding::Unknown,
            "the limit of watched folders cannot be read",
            "nothing to do: simsync also looks at everything from time to time",
        );
    };
    let mut folders = 0;
    let roots = snapshot
        .iter()
        .flat_map(|s| &s.collections)
        .filter_map(|c| c.path.as_deref());
    for root in roots {
        count_folders(Path::new(root), &mut folders);
    }
    // Other programs of the same user watch folders too.
    let reached = snapshot.is_some_and(reached);
    if reached || folders * 2 > limit {
        let wanted = (folders * 4).next_power_of_two();
        return Check::bad(
            "watches",
            if reached {
                Finding::Failed
            } else {
                Finding::Warning
            },
            format!(
                "{folders} folders are to be watched, the limit for all your programs is {limit}"
            ),
            format!(
                "raise it: echo fs.inotify.max_user_watches={wanted} | sudo tee /etc/sysctl.d/50-simsync.conf && sudo sysctl --system"
            ),
        );
    }
    Check::ok(
        "watches",
        format!("{folders} folders to watch, the limit is {limit}"),
    )
}

fn count_folders(root: &Path, count: &mut u64) {
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        *count += 1;
        if *count >= COUNT_MAX {
            return;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let folders = entries
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        todo.extend(folders.map(|e| e.path()));
    }
}
