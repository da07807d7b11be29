//! Another program that uses the card: `other-program empty|exclusive|transaction|reset|select`.
//!
//! It says `done` when it has what it wanted: `empty` that no reader has a card. `exclusive` and `transaction` keep the card until their standard input ends.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Read;

use pcsc::{
    Card, Context, Disposition, Protocols, ReaderState, Scope, ShareMode, State, Transaction,
};

/// SELECT of the applet that the bridge has beside ours.
const NEIGHBOUR: [u8; 15] = [
    0x00, 0xA4, 0x04, 0x00, 0x0A, 0xF0, 0x4E, 0x45, 0x49, 0x47, 0x48, 0x42, 0x4F, 0x55, 0x52,
];

fn main() -> Result<(), Box<dyn Error>> {
    let what = std::env::args().nth(1).unwrap_or_default();
    let context = Context::establish(Scope::User)?;
    if what == "empty" {
        let readers = context.list_readers_owned()?;
        let mut states: Vec<ReaderState> = readers
            .into_iter()
            .map(|r| ReaderState::new(r, State::UNAWARE))
            .collect();
        loop {
            context.get_status_change(None, &mut states)?;
            if states
                .iter()
                .all(|s| s.event_state().contains(State::EMPTY))
            {
                println!("done");
                return Ok(());
            }
            states.iter_mut().for_each(ReaderState::sync_current_state);
        }
    }
    let share = if what == "exclusive" {
        ShareMode::Exclusive
    } else {
        ShareMode::Shared
    };
    let mut card = None;
    let mut why = "no card".to_owned();
    for reader in context.list_readers_owned()? {
        match context.connect(&reader, share, Protocols::ANY) {
            Ok(c) => card = card.or(Some(c)),
            // The reader beside it is empty.
            Err(pcsc::Error::NoSmartcard) => {}
            Err(e) => why = e.to_string(),
        }
    }
    let mut card = card.ok_or(why)?;
    let done = || println!("done");
    let wait = || std::io::stdin().read_to_end(&mut Vec::new());
    match what.as_str() {
        "exclusive" => {
            done();
            wait()?;
        }
        "transaction" => {
            let transaction = begin(&mut card)?;
            done();
            wait()?;
            transaction
                .end(Disposition::LeaveCard)
                .map_err(|(_, e)| e)?;
        }
        "reset" => {
            card.disconnect(Disposition::ResetCard)
                .map_err(|(_, e)| e)?;
            done();
            return Ok(());
        }
        "select" => {
            let mut buffer = [0; 300];
            let transaction = begin(&mut card)?;
            let answer = transaction.transmit(&NEIGHBOUR, &mut buffer)?;
            if !answer.ends_with(&[0x90, 0x00]) {
                return Err(format!("the neighbour answered {answer:x?}").into());
            }
            transaction
                .end(Disposition::LeaveCard)
                .map_err(|(_, e)| e)?;
            done();
        }
        other => return Err(format!("{other:?} is nothing that it can do").into()),
    }
    card.disconnect(Disposition::LeaveCard)
        .map_err(|(_, e)| e)?;
    Ok(())
}

/// A transaction. Whoever was at the card before may have reset it, simsyncd for example, whose session is over: like any
/// program that shares a card, this one begins anew then.
fn begin(card: &mut Card) -> Result<Transaction<'_>, pcsc::Error> {
    match card.transaction2() {
        Ok(transaction) => Ok(transaction),
        Err((card, pcsc::Error::ResetCard)) => {
            card.reconnect(ShareMode::Shared, Protocols::ANY, Disposition::LeaveCard)?;
            card.transaction()
        }
        Err((_, e)) => Err(e),
    }
}
