//! The watch of SIMs in modems against python-dbusmock's ModemManager.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bus_support;
mod modem_manager;

use std::time::Duration;

use bus_support::{Bus, DEADLINE};
use modem_manager::{
    MODEL, MODEM, ModemManager, Properties, ROOT, SIM, TEMPLATE_MODEM, TEMPLATE_SIM, model, object,
};
use simsyncd::rules::{Event, Sims};
use simsyncd::watch::login::Bus as At;
use simsyncd::watch::modem::{self, Pace};
use tokio::sync::mpsc;
use zbus::Variant;

const A: &str = "8901000000000000801";
const B: &str = "89010000000000008022";

/// No debounce, where it is not what is tested.
const NOW: Duration = Duration::ZERO;
/// Longer than any test: what settles only after it does not settle in it.
const NEVER: Duration = Duration::from_secs(3600);

struct Watch(mpsc::UnboundedReceiver<Event>);

impl Watch {
    fn on(bus: &Bus, debounce: Duration) -> Self {
        let (tx, events) = mpsc::unbounded_channel();
        let pace = Pace {
            debounce,
            between: Duration::ZERO,
            retry: Duration::from_millis(20),
        };
        let at = At::At(bus.address.clone());
        tokio::spawn(modem::run(at, pace, move |e| {
            tx.send(e).unwrap_or_default()
        }));
        Self(events)
    }

    /// The next event is this one, and none came in between.
    async fn tells(&mut self, sims: Option<&[(&str, &str)]>) {
        let next = tokio::time::timeout(DEADLINE, self.0.recv()).await;
        let wanted = sims.map(|list| -> Sims {
            list.iter()
                .map(|(iccid, modem)| (iccid.to_string(), modem.to_string()))
                .collect()
        });
        assert_eq!(next.expect("in time"), Some(Event::Sims(wanted)));
    }
}

/// A bus with a modem on it whose SIM is known.
async fn with_a_sim(debounce: Duration) -> (Bus, ModemManager, Watch) {
    let bus = Bus::start();
    let mut watch = Watch::on(&bus, debounce);
    watch.tells(None).await;
    let manager = ModemManager::start(&bus.address).await;
    watch.tells(Some(&[])).await;
    manager.add_template_modem(A).await;
    watch.tells(Some(&[(A, MODEL)])).await;
    (bus, manager, watch)
}

#[tokio::test]
async fn m14_a_sim_that_goes_into_a_modem_and_out_of_it_is_seen() {
    let (_bus, manager, mut watch) = with_a_sim(NOW).await;
    manager
        .remove_modem(TEMPLATE_MODEM, Some(TEMPLATE_SIM))
        .await;
    watch.tells(Some(&[])).await;
    // What ModemManager makes of a modem without a SIM.
    let missing = Properties::from([
        ("State", Variant::from(-1i32)),
        ("StateFailedReason", Variant::from(2u32)),
    ]);
    manager.add_modem(9, None, missing).await;
    let second = format!("{ROOT}/SIM/3");
    manager
        .add_modem(10, Some((&second, B)), model("EM12"))
        .await;
    watch.tells(Some(&[(B, "EM12")])).await;
}

#[tokio::test]
async fn m14_a_swap_that_makes_the_modem_anew_with_the_same_sim_is_no_event() {
    let (_bus, manager, mut watch) = with_a_sim(NEVER).await;
    let mut there = (TEMPLATE_MODEM.to_owned(), TEMPLATE_SIM.to_owned());
    for number in 20..23 {
        manager.remove_modem(&there.0, Some(&there.1)).await;
        manager.is_looked_at().await;
        there = (
            format!("{ROOT}/Modems/{number}"),
            format!("{ROOT}/SIM/{number}"),
        );
        let sim = Some((there.1.as_str(), A));
        manager.add_modem(number, sim, model(MODEL)).await;
        manager.is_looked_at().await;
    }
    // The next event is another SIM's, and the first one never went.
    let other = format!("{ROOT}/SIM/40");
    manager
        .add_modem(40, Some((&other, B)), model("EM12"))
        .await;
    watch.tells(Some(&[(A, MODEL), (B, "EM12")])).await;
}

#[tokio::test]
async fn m14_another_sim_in_the_same_modem_is_seen_at_once_and_the_old_one_goes_after_the_debounce()
{
    let (_bus, manager, mut watch) = with_a_sim(Duration::from_millis(50)).await;
    manager
        .remove_modem(TEMPLATE_MODEM, Some(TEMPLATE_SIM))
        .await;
    let sim = format!("{ROOT}/SIM/5");
    manager.add_modem(5, Some((&sim, B)), model(MODEL)).await;
    // Whether the old one is gone already when the new one is there is a matter of time; that it goes is not.
    let mut last = None;
    let only_new = Event::Sims(Some([(B.to_owned(), MODEL.to_owned())].into()));
    while last.as_ref() != Some(&only_new) {
        let next = tokio::time::timeout(DEADLINE, watch.0.recv()).await;
        last = next.expect("in time");
        assert_ne!(last, Some(Event::Sims(None)));
    }
}

#[tokio::test]
async fn m14_modemmanager_restarts_and_the_sim_was_never_away() {
    let (bus, manager, mut watch) = with_a_sim(NEVER).await;
    drop(manager);
    let manager = ModemManager::start(&bus.address).await;
    // It runs, and knows of no modem yet.
    manager.is_looked_at().await;
    manager.add_template_modem(A).await;
    let other = format!("{ROOT}/SIM/40");
    manager
        .add_modem(40, Some((&other, B)), model("EM12"))
        .await;
    watch.tells(Some(&[(A, MODEL), (B, "EM12")])).await;
}

#[tokio::test]
async fn m14_without_modemmanager_nobody_can_tell_and_its_coming_is_seen() {
    let (bus, manager, mut watch) = with_a_sim(NOW).await;
    drop(manager);
    watch.tells(None).await;
    let manager = ModemManager::start(&bus.address).await;
    watch.tells(Some(&[])).await;
    manager.add_template_modem(A).await;
    watch.tells(Some(&[(A, MODEL)])).await;
}

#[tokio::test]
async fn m14_without_a_bus_nobody_can_tell() {
    let (tx, events) = mpsc::unbounded_channel();
    let at = At::At("unix:path=/nonexistent/bus".to_owned());
    tokio::spawn(modem::run(at, Pace::default(), move |e| {
        tx.send(e).unwrap_or_default();
    }));
    Watch(events).tells(None).await;
}

#[tokio::test]
async fn m14_what_modemmanager_says_in_other_types_or_at_length_is_no_sim() {
    let (_bus, manager, mut watch) = with_a_sim(NOW).await;
    // No number at all, one of another type, one that is none, one that is too long.
    for (nth, number) in [
        Variant::from(7u32),
        Variant::from("eight"),
        Variant::from("8".repeat(5000)),
        Variant::from(""),
    ]
    .into_iter()
    .enumerate()
    {
        let (modem, sim) = (
            format!("{ROOT}/Modems/{}", 50 + nth),
            format!("{ROOT}/SIM/{}", 50 + nth),
        );
        manager
            .add(&sim, SIM, Properties::from([("SimIdentifier", number)]))
            .await;
        let path = Properties::from([("Sim", object(&sim).into())]);
        manager.add(&modem, MODEM, path).await;
    }
    // No SIM of this path, and a SIM that is no path.
    let nowhere = Properties::from([("Sim", object("/nowhere").into())]);
    manager
        .add(&format!("{ROOT}/Modems/60"), MODEM, nowhere)
        .await;
    let text = Properties::from([("Sim", Variant::from("SIM"))]);
    manager.add(&format!("{ROOT}/Modems/61"), MODEM, text).await;
    // Its name is cut, and control characters are left out; the filler of a number is, too.
    let sim = format!("{ROOT}/SIM/70");
    let long = format!("\u{1b}[31m{}", "x".repeat(500));
    manager
        .add_modem(70, Some((&sim, "8901000000000000803F")), model(&long))
        .await;
    let cut = format!("[31m{}", "x".repeat(36));
    watch
        .tells(Some(&[(A, MODEL), ("8901000000000000803", &cut)]))
        .await;
    // Failed for another reason, a modem keeps its SIM; without one it has none, whatever it says of its path.
    manager
        .update(
            TEMPLATE_MODEM,
            MODEM,
            Properties::from([("State", Variant::from(-1i32))]),
        )
        .await;
    manager
        .mock(
            TEMPLATE_MODEM,
            "AddProperty",
            &(MODEM, "StateFailedReason", Variant::from(0u32)),
        )
        .await;
    let missing = Properties::from([("StateFailedReason", Variant::from(2u32))]);
    manager.update(TEMPLATE_MODEM, MODEM, missing).await;
    watch.tells(Some(&[("8901000000000000803", &cut)])).await;
}
