//! `provision`: one card.

use std::path::PathBuf;

use serde_json::json;
use simsync_card::client::{Lifecycle, TransportSecret};
use simsync_card::ids::{CardId, Hash, SubscriberId};
use simsync_protocol::address::ServerAddress;

use crate::cli::Provision;
use crate::dialogue::{self, Source};
use crate::error::ToolError;
use crate::issue::{self, Holder, Introduction, Issued, Record, Registrar, Terms};
use crate::letter::{self, Format, Letter};
use crate::output::Output;
use crate::registrar::Server;
use crate::{reader, secrets};

impl Provision {
    /// What is the same for all cards, and the server's address.
    pub fn terms(&self) -> Result<(Terms, ServerAddress), ToolError> {
        let usage = |e: &dyn std::fmt::Display| ToolError::Usage(e.to_string());
        let address: ServerAddress = self.server.parse().map_err(|e| usage(&e))?;
        let ca_pin: Hash = self.ca_pin.parse().map_err(|e| usage(&e))?;
        let terms = Terms {
            server: self.server.clone(),
            ca_pin,
            contactless: self.contactless,
            keep_pin: self.keep_pin,
        };
        Ok((terms, address))
    }
}

/// One letter at one place.
struct OneLetter(Vec<(Format, PathBuf)>);

impl Record for OneLetter {
    fn card(&mut self, _: &CardId) -> Result<(), ToolError> {
        Ok(())
    }
    fn letter(&mut self, letter: &Letter<'_>) -> Result<(), ToolError> {
        letter.write(&self.0)
    }
}

/// Says what happens.
struct Telling<'a>(Server, &'a Output);

impl Registrar for Telling<'_> {
    fn begin(&mut self) -> Result<[u8; 32], ToolError> {
        let bytes = self.0.begin()?;
        self.1.step("Personalising the card and making its keys …");
        Ok(bytes)
    }
    fn enrol(&mut self, card: &Introduction<'_>) -> Result<bool, ToolError> {
        self.1.step("Enrolling it at the server …");
        self.0.enrol(card)
    }
}

/// Makes a blank card somebody's.
pub fn run(wanted: Option<&str>, args: &Provision, out: &Output) -> Result<(), ToolError> {
    let usage = |e: &dyn std::fmt::Display| ToolError::Usage(e.to_string());
    let (terms, address) = args.terms()?;
    let (Some(subscriber), Some(path)) = (&args.subscriber, &args.letter) else {
        return Err(ToolError::Usage(
            "name --subscriber and --letter, or --batch".to_owned(),
        ));
    };
    let subscriber: SubscriberId = subscriber.parse().map_err(|e| usage(&e))?;
    let files = letter::places(path, &args.letters_format);
    for (_, file) in &files {
        letter::check_free(file)?;
    }
    let mut card = reader::connect(wanted)?;
    let selected = reader::select(&mut reader::transaction(&mut card)?)?;
    match selected.lifecycle {
        Lifecycle::Installed | Lifecycle::Personalised => {}
        // Its answer to the last command may have been lost: the letter says whether this is the card.
        Lifecycle::Enrolled => {
            let same = |card: &CardId| selected.is_card_of(card, &subscriber);
            let Some(card) = letter::card_of(&files, same) else {
                return Err(ToolError::Other(
                    "this card is provisioned already, and not by this letter; `simsync-card info` shows it"
                        .to_owned(),
                ));
            };
            tell(
                &subscriber,
                &Issued {
                    card,
                    already: true,
                },
                &files,
                out,
            );
            return Ok(());
        }
        Lifecycle::Terminated => {
            return Err(ToolError::Other(
                "this card was terminated; take another one".to_owned(),
            ));
        }
    }
    // Whatever can be looked at is looked at before the card is touched.
    let code = dialogue::enrolment_code(&mut Source(args.code_fd))?;
    let secret = secrets::read(args.transport_secret_fd, "Transport secret of the card")?;
    let secret = TransportSecret::parse(secret.as_bytes()).map_err(|e| usage(&e))?;
    let holder = Holder {
        subscriber: &subscriber,
        label: args.label.as_deref().unwrap_or_default(),
        code: &code,
    };
    let mut server = Telling(Server::new(address, terms.ca_pin)?, out);
    let mut record = OneLetter(files);
    let issued = issue::issue(&mut card, &secret, &terms, holder, &mut server, &mut record)?;
    tell(&subscriber, &issued, &record.0, out);
    Ok(())
}

fn tell(subscriber: &SubscriberId, issued: &Issued, files: &[(Format, PathBuf)], out: &Output) {
    let letters: Vec<&PathBuf> = files.iter().map(|(_, path)| path).collect();
    let names: Vec<String> = letters
        .iter()
        .map(|p| simsync_shell::visible_path(p))
        .collect();
    out.result(
        json!({
            "card": issued.card,
            "subscriber": subscriber,
            "letter": letters[0],
            "letters": letters,
            "already_enrolled": issued.already,
        }),
        &format!(
            "The card {} is {subscriber}'s. The letter is in {}.",
            issued.card,
            names.join(", ")
        ),
    );
}
