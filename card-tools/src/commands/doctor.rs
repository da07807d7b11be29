//! `doctor`: from the smart card service to the applet, each with its remedy.

mod applet;
mod checks;
mod refusals;

use std::ffi::CStr;
use std::path::Path;

use pcsc::{Attribute, Context, Protocol, Protocols, ShareMode};
use serde_json::json;
use simsync_card::client::{Applet, Pin};
use simsync_card::modem::{Deadlines, ModemCard, ModemError};
use simsync_card::pcsc::{PcscCard, pin_pad};
use simsync_card::pinpad::PinPad;

use self::applet::examine;
use self::checks::{Checks, Finding};
use crate::card_pin::{CardPin, Manner};
use crate::error::ToolError;
use crate::output::Output;
use crate::reader::Place;
use crate::trace::Traced;
use crate::{reader, secrets};

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
    match Context::establish(pcsc::Scope::User) {
        Ok(context) => {
            checks.ok("pcscd", "the smart card service answers");
            checks.ok("polkit", "you may use it");
            Some(context)
        }
        Err(e) => {
            let places = ["/usr/sbin/pcscd", "/usr/local/sbin/pcscd"];
            let installed = places.iter().any(|p| Path::new(p).exists());
            refusals::no_service(checks, e, installed);
            None
        }
    }
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
    refusals::no_reader(checks, !all.is_empty(), usb_readers());
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
        Err(e) => return refusals::no_connection(checks, e),
    };
    driver(checks, &card);
    atr(checks, &card);
    // No command went to the card yet: whatever another program verified on it stays.
    let left = card.disconnect(pcsc::Disposition::LeaveCard);
    if left.is_err() {
        checks.failed("card", "the card was taken out", "put it in again");
        return true;
    }
    if let Err(e) = reach(checks, context, name, pin) {
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

fn reach(
    checks: &mut Checks,
    context: &Context,
    name: &CStr,
    pin: Option<&mut Asked>,
) -> Result<(), ToolError> {
    let mut card = PcscCard::connect(context, name)?;
    // Before the card is held: a person takes their time.
    let pin = pin.map(|asked| asked.of(card.pin_pad())).transpose()?;
    examine(checks, &mut reader::transaction(&mut card)?, pin.as_ref())?;
    // Without a reset, other programs need not begin anew with other applets of the card. In ours, SELECT ended PIN state
    // and token of whoever was at it; a PIN of our own goes with the reset.
    if pin.is_none() {
        card.leave()?;
    }
    Ok(())
}
