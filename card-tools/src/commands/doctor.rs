//! `doctor`: from the smart card service to the applet, each with its remedy.

use std::ffi::CStr;
use std::path::Path;
use std::time::{Duration, Instant};

use pcsc::{Attribute, Context, Protocol, Protocols, ShareMode};
use serde::Serialize;
use serde_json::json;
use simsync_card::client::{Applet, Lifecycle, Pin, Selected};
use simsync_card::modem::{Deadlines, ModemCard, ModemError};
use simsync_card::pcsc::{PcscCard, pin_pad};
use simsync_card::pinpad::{Control, PinPad};
use simsync_card::transport::Transport;

use crate::card_pin::{CardPin, Manner};
use crate::error::ToolError;
use crate::output::Output;
use crate::reader::Place;
use crate::trace::Traced;
use crate::{reader, secrets};

/// Signing more slowly than this makes people wait; the slowest cards that are known to work take half of it.
const SLOW: Duration = Duration::from_millis(500);

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Finding {
    Ok,
    Warning,
    Failed,
    /// Nothing could be found out.
    Unknown,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    finding: Finding,
    sentence: String,
    remedy: Option<&'static str>,
}

/// The checks so far.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn ok(&mut self, name: &'static str, sentence: impl Into<String>) {
        self.add(name, Finding::Ok, sentence, None);
    }

    fn add(
        &mut self,
        name: &'static str,
        finding: Finding,
        sentence: impl Into<String>,
        remedy: Option<&'static str>,
    ) {
        self.0.push(Check {
            name,
            finding,
            sentence: sentence.into(),
            remedy,
        });
    }

    fn failed(&mut self, name: &'static str, sentence: impl Into<String>, remedy: &'static str) {
        self.add(name, Finding::Failed, sentence, Some(remedy));
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for check in &self.0 {
            let sign = match check.finding {
                Finding::Ok => "✓",
                Finding::Warning => "!",
                Finding::Failed => "✗",
                Finding::Unknown => "?",
            };
            out.push_str(&format!("{sign} {}: {}\n", check.name, check.sentence));
            if let Some(remedy) = check.remedy {
                out.push_str(&format!("    {remedy}\n"));
            }
        }
        out
    }
}

/// The PIN, asked for once however many readers there are, and not at all where it is typed on the reader.
struct Asked {
    manner: Manner,
    typed: Option<Pin>,
}

impl Asked {
    fn new(manner: Manner) -> Result<Self, ToolError> {
        // Asked for now where no reader can make it superfluous.
        let now = manner.fd.is_some() || !manner.pad;
        let typed = now.then(|| secrets::pin(manner.fd, "PIN")).transpose()?;
        Ok(Self { manner, typed })
    }

    fn of(&mut self, there: Option<PinPad>) -> Result<CardPin, ToolError> {
        let pin = match (&self.typed, self.manner.pad(there)) {
            (_, Some(pad)) => return Ok(CardPin::Pad(pad)),
            (Some(pin), None) => pin.clone(),
            (None, None) => secrets::pin(None, "PIN")?,
        };
        self.typed = Some(pin.clone());
        Ok(CardPin::Typed(pin))
    }
}

/// Checks, and ends with a failure if one failed.
pub fn run(place: Place<'_>, with_pin: Option<Manner>, out: &Output) -> Result<(), ToolError> {
    let mut pin = with_pin.map(Asked::new).transpose()?;
    let mut checks = Checks::default();
    match place {
        Place::Reader(wanted) => {
            if let Some(context) = service(&mut checks) {
                readers(&mut checks, &context, wanted, pin.as_mut());
            }
        }
        Place::Modem(device) => {
            let pin = pin.as_mut().map(|asked| asked.of(None)).transpose()?;
            modem(&mut checks, device, pin.as_ref());
        }
    }
    let failed = checks.0.iter().any(|c| c.finding == Finding::Failed);
    out.result(json!({ "ok": !failed, "checks": checks.0 }), &checks.text());
    if failed { Err(ToolError::Told) } else { Ok(()) }
}

/// From the modem's port to the applet on its SIM.
fn modem(checks: &mut Checks, device: &Path, pin: Option<&CardPin>) {
    match ModemCard::open(device, Deadlines::default()) {
        Ok(mut card) => {
            checks.ok("modem", "it opened a logical channel to the applet");
            if let Err(e) = examine(checks, &mut Applet::new(Traced::new(&mut card)), pin) {
                let remedy = "begin again; `-vv` shows every command";
                checks.failed("applet", e.to_string(), remedy);
            }
        }
        Err(e) => {
            let (name, remedy) = match &e {
                ModemError::NoSim => ("SIM", "put it in; some modems see it after a restart only"),
                ModemError::Locked => ("SIM", "give it its PIN: mmcli --sim=N --pin=PIN"),
                ModemError::NoApplet(_) => (
                    "applet",
                    "put the SIM into a card reader: `simsync-card lock-info` and `install` tell more there",
                ),
                ModemError::NoChannels(_) => ("modem", "put the SIM into a card reader"),
                _ => (
                    "modem",
                    "try its other ports, for example /dev/ttyUSB0 to 3; `mmcli -m N` lists which are AT ports",
                ),
            };
            checks.failed(name, e.to_string(), remedy);
        }
    }
}

fn service(checks: &mut Checks) -> Option<Context> {
    let context = Context::establish(pcsc::Scope::User);
    let told = match &context {
        Ok(_) => {
            checks.ok("pcscd", "the smart card service answers");
            checks.ok("polkit", "you may use it");
            return context.ok();
        }
        Err(pcsc::Error::SecurityViolation) => {
            checks.ok("pcscd", "the smart card service answers");
            checks.failed(
                "polkit",
                "the smart card service refuses you",
                "log in at the machine itself, or let polkit allow org.debian.pcsc-lite.access_pcsc for your user",
            );
            return None;
        }
        Err(e) => e.to_string(),
    };
    let installed = ["/usr/sbin/pcscd", "/usr/local/sbin/pcscd"];
    let (sentence, remedy) = if installed.iter().any(|p| Path::new(p).exists()) {
        (
            format!("the smart card service is installed and does not answer ({told})"),
            "start it: systemctl enable --now pcscd.socket",
        )
    } else {
        (
            format!("there is no smart card service on this machine ({told})"),
            "install it: apt install pcscd",
        )
    };
    checks.failed("pcscd", sentence, remedy);
    None
}

fn readers(
    checks: &mut Checks,
    context: &Context,
    wanted: Option<&str>,
    mut pin: Option<&mut Asked>,
) {
    let all = match context.list_readers_owned() {
        Ok(all) => all,
        Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
        Err(e) => {
            return checks.failed(
                "reader",
                format!("the readers cannot be listed: {e}"),
                "restart the service: systemctl restart pcscd",
            );
        }
    };
    let fits = |name: &CStr| wanted.is_none_or(|w| name.to_string_lossy().contains(w));
    let meant: Vec<&CStr> = all.iter().map(AsRef::as_ref).filter(|n| fits(n)).collect();
    let mut cards = 0;
    for name in &meant {
        cards += usize::from(one_reader(checks, context, name, pin.as_deref_mut()));
    }
    match (meant.len(), cards) {
        (0, _) => {}
        (1, 0) => return checks.failed("card", "no card is in the reader", "put one in"),
        (_, 0) => return checks.failed("card", "no card is in any reader", "put one in"),
        _ => return,
    }
    match (all.is_empty(), usb_readers()) {
        (true, 0) => checks.failed(
            "reader",
            "no card reader is connected",
            "plug one in; if it is in, try another port or cable",
        ),
        (true, n) => checks.failed(
            "driver",
            format!("{n} USB card readers are connected, and the service knows none of them"),
            "install their driver: apt install libccid; then systemctl restart pcscd",
        ),
        (false, _) => checks.failed(
            "reader",
            "no reader has this name",
            "`simsync-card readers` lists them",
        ),
    }
}

/// USB interfaces of the class of smart card readers (USB CCID: 0B), as the kernel lists them.
fn usb_readers() -> usize {
    let Ok(devices) = std::fs::read_dir("/sys/bus/usb/devices") else {
        return 0;
    };
    devices
        .flatten()
        .filter_map(|d| std::fs::read_to_string(d.path().join("bInterfaceClass")).ok())
        .filter(|class| class.trim().eq_ignore_ascii_case("0b"))
        .count()
}

/// Answers whether there is a card in it.
fn one_reader(
    checks: &mut Checks,
    context: &Context,
    name: &CStr,
    pin: Option<&mut Asked>,
) -> bool {
    checks.ok("reader", name.to_string_lossy());
    checks.ok("PIN pad", pad_sentence(pin_pad(context, name)));
    let card = match context.connect(name, ShareMode::Shared, Protocols::ANY) {
        Ok(card) => card,
        Err(pcsc::Error::NoSmartcard | pcsc::Error::RemovedCard) => return false,
        Err(pcsc::Error::SharingViolation) => {
            checks.failed(
                "card",
                "another program has the card for itself",
                "close it: gpg's scdaemon and card managers do that",
            );
            return true;
        }
        Err(pcsc::Error::SecurityViolation) => {
            checks.failed(
                "polkit",
                "the smart card service refuses you this card",
                "let polkit allow org.debian.pcsc-lite.access_card for your user",
            );
            return true;
        }
        Err(e @ (pcsc::Error::UnresponsiveCard | pcsc::Error::UnpoweredCard)) => {
            checks.failed(
                "card",
                format!("the card does not answer the reader ({e})"),
                "turn it round, clean its contacts, try another card",
            );
            return true;
        }
        Err(e) => {
            checks.failed(
                "card",
                format!("the card cannot be reached: {e}"),
                "take it out and put it in again; then systemctl restart pcscd",
            );
            return true;
        }
    };
    driver(checks, &card);
    atr(checks, &card);
    // Looked at only: whatever another program verified on it stays.
    let left = card.disconnect(pcsc::Disposition::LeaveCard);
    if left.is_err() {
        checks.failed("card", "the card was taken out", "put it in again");
        return true;
    }
    if let Err(e) = applet(checks, context, name, pin) {
        checks.failed(
            "applet",
            e.to_string(),
            "take the card out and put it in again; `-vv` shows every command",
        );
    }
    true
}

fn pad_sentence(pad: Option<PinPad>) -> &'static str {
    match pad {
        None => "none: the PIN is typed at the computer",
        Some(pad) if pad.can_modify() => "the PIN, and a new one, are typed on the reader",
        Some(_) => "the PIN is typed on the reader, a new one at the computer",
    }
}

fn driver(checks: &mut Checks, card: &pcsc::Card) {
    let text = |attribute| {
        let bytes = card.get_attribute_owned(attribute).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches('\0').trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let version = card
        .get_attribute_owned(Attribute::VendorIfdVersion)
        .ok()
        .and_then(|v| <[u8; 4]>::try_from(v).ok())
        .map(|[build, minor, major, _]| format!("{major}.{minor}.{build}"));
    match (text(Attribute::VendorName), version) {
        (None, None) => checks.add(
            "driver",
            Finding::Unknown,
            "the reader's driver does not tell what it is",
            None,
        ),
        (name, version) => {
            let parts: Vec<String> = name.into_iter().chain(version).collect();
            checks.ok("driver", parts.join(" "));
        }
    }
}

fn atr(checks: &mut Checks, card: &pcsc::Card) {
    let Ok(status) = card.status2_owned() else {
        return checks.failed("ATR", "the card was taken out", "put it in again");
    };
    let protocol = match status.protocol2() {
        Some(Protocol::T0) => "T=0",
        Some(Protocol::T1) => "T=1",
        _ => "another protocol",
    };
    checks.ok(
        "ATR",
        format!("{}, {protocol}", hex::encode_upper(status.atr())),
    );
}

fn applet(
    checks: &mut Checks,
    context: &Context,
    name: &CStr,
    pin: Option<&mut Asked>,
) -> Result<(), ToolError> {
    let mut card = PcscCard::connect(context, name)?;
    // Before the card is held: a person takes their time.
    let pin = pin.map(|asked| asked.of(card.pin_pad())).transpose()?;
    examine(checks, &mut reader::transaction(&mut card)?, pin.as_ref())?;
    // Looked at only: whatever another program verified stays. A PIN of ours does not.
    if pin.is_none() {
        card.leave()?;
    }
    Ok(())
}

/// The applet, wherever it is.
fn examine<T: Transport + Control>(
    checks: &mut Checks,
    applet: &mut Applet<T>,
    pin: Option<&CardPin>,
) -> Result<(), ToolError> {
    let start = Instant::now();
    let selected = match applet.select() {
        Ok(selected) => selected,
        Err(e) if e.status().is_some() => {
            checks.failed(
                "applet",
                "the card has no simsync applet",
                "`simsync-card lock-info` and `simsync-card install` put it there, if you have the card's keys",
            );
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let answered = start.elapsed();
    life(checks, &selected);
    checks.ok("time to answer", milliseconds(answered));
    if selected.lifecycle == Lifecycle::Enrolled {
        tries(checks, &selected);
        time_to_sign(checks, applet, &selected, pin)?;
    }
    Ok(())
}

fn life(checks: &mut Checks, selected: &Selected) {
    let (major, minor) = selected.version;
    let sentence = format!(
        "version {major}.{minor}, {}",
        reader::lifecycle_word(selected.lifecycle)
    );
    match selected.lifecycle {
        Lifecycle::Enrolled => checks.ok("applet", sentence),
        Lifecycle::Installed | Lifecycle::Personalised => checks.add(
            "applet",
            Finding::Warning,
            sentence,
            Some("`simsync-card provision` makes it somebody's"),
        ),
        Lifecycle::Terminated => checks.failed(
            "applet",
            sentence,
            "it is wiped for good; `simsync-card install --replace` makes it a blank one",
        ),
    }
}

fn tries(checks: &mut Checks, selected: &Selected) {
    let sentence = format!(
        "{} for the PIN, {} for the PUK",
        selected.pin_tries, selected.puk_tries
    );
    match (selected.pin_tries, selected.puk_tries) {
        (0, 0) => checks.failed("tries", sentence, "only another card helps"),
        (0, _) => checks.failed("tries", sentence, "`simsync-card pin unblock` with the PUK"),
        (3, 10) if !selected.pin_due => checks.ok("tries", sentence),
        (3, 10) => checks.add(
            "tries",
            Finding::Warning,
            format!("{sentence}; the PIN must be changed"),
            Some("`simsync pair`, or `simsync-card pin change`"),
        ),
        _ => checks.add(
            "tries",
            Finding::Warning,
            sentence,
            Some("the right one, given once, makes them full again"),
        ),
    }
}

/// The card signs its keys: a signature that changes nothing. It needs the PIN.
fn time_to_sign<T: Transport + Control>(
    checks: &mut Checks,
    applet: &mut Applet<T>,
    selected: &Selected,
    pin: Option<&CardPin>,
) -> Result<(), ToolError> {
    let (Some(pin), false) = (pin, selected.pin_due || selected.pin_tries == 0) else {
        checks.add(
            "time to sign",
            Finding::Unknown,
            "not measured",
            Some("give --pin to measure it"),
        );
        return Ok(());
    };
    pin.verify(applet, "to measure how long the card takes to sign")?;
    let nonce: [u8; 32] = rand::random();
    let start = Instant::now();
    applet.read_keys(&nonce)?;
    let took = start.elapsed();
    if took > SLOW {
        checks.add(
            "time to sign",
            Finding::Warning,
            milliseconds(took),
            Some("it works; a card with a faster processor opens sessions sooner"),
        );
    } else {
        checks.ok("time to sign", milliseconds(took));
    }
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
