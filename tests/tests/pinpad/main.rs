//! Readers with a PIN pad: the PIN is typed on the reader and never enters the computer (PC/SC part 10).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test is told by its panic"
)]

mod daemon;
mod tool;

use simsync_rig::rig::PinPad;
use simsync_test_ifd::VERIFY_LINE;

/// Long enough to be told from chance.
const PIN: &str = "80417263";
const NEW_PIN: &str = "59306184";

/// Presses keys, one entry after the other, while something asks for them.
fn typing<T: std::fmt::Debug>(pad: &PinPad, keys: &[&str], work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let fingers = scope.spawn(|| keys.iter().try_for_each(|k| pad.press(k)));
        let result = work();
        if let Err(e) = fingers.join().unwrap() {
            panic!("{e}; meanwhile: {result:?}");
        }
        result
    })
}

fn ok(pin: &str) -> String {
    format!("{pin} ok")
}

/// No PIN crossed between reader and computer since the book had so many bytes, in no command and no answer.
fn never_crossed(pad: &PinPad, since: usize, pins: &[&str]) {
    let wire = pad.wire().unwrap().split_off(since);
    for pin in pins {
        let digits: String = pin.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!wire.contains(&digits), "{pin} in\n{wire}");
        // Packed, as some readers keep them.
        assert!(!wire.contains(pin), "{pin} in\n{wire}");
    }
    // The book holds what it should: the card was talked to, and orders for a PIN came without one.
    assert!(wire.contains("transmit > 00a4040009f053494d53594e43"));
    let orders: Vec<&str> = wire
        .lines()
        .filter(|l| l.starts_with(VERIFY_LINE))
        .collect();
    assert!(!orders.is_empty());
    for order in orders {
        assert!(order.ends_with("0020008108ffffffffffffffff"), "{order}");
    }
}
