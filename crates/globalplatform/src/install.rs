//! Installing the applet, and deleting it: what is there, what would be done, doing it, and looking whether it is done.
//!
//! An interrupted installation is repeated from the start: a load that was not finished leaves nothing on the card
//! (GPCS 11.6.1), and a load file without an instance, which a cut between load and installation leaves, is deleted first.

use simsync_card::client::{Applet, CardError, Lifecycle, Selected, TransportSecret};
use simsync_card::status::Status;
use simsync_card::transport::Transport;

use crate::aid::Aid;
use crate::cap::CapFile;
use crate::content::{announce, delete, load, make_instance};
use crate::domain::{self, Domain};
use crate::error::GpError;
use crate::registry::Registry;
use crate::session::{Access, Session, open_selected};

const CARD_LOCKED: u8 = 0x7F;
const TERMINATED: u8 = 0xFF;
const SELECTABLE: u8 = 0x07;

/// What SELECT of our applet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Nothing of this name.
    Absent,
    /// Our applet, in a version that this tool speaks to.
    Applet {
        /// Major and minor version.
        version: (u8, u8),
        /// How far its life has come.
        lifecycle: Lifecycle,
    },
    /// Something of this name that does not tell what it is: another version, locked, or not our applet.
    Unknown {
        /// Its version, if it said that.
        version: Option<(u8, u8)>,
    },
}

/// What the caller allows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// Delete what is there, and install anew.
    pub replace: bool,
    /// Even if that destroys the keys of a card in use.
    pub destroy_keys: bool,
}

/// What is to be done with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: this version is there.
    Nothing(Lifecycle),
    /// Install; first delete what is there.
    Install {
        /// There is something.
        delete: bool,
    },
}

/// One step, as a plan lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// DELETE of an instance, or of the load file.
    Delete(Aid),
    /// INSTALL [for load].
    Announce,
    /// LOAD, in blocks.
    Load {
        /// LOAD commands that it takes, at most 256.
        blocks: usize,
        /// Bytes of them all.
        bytes: usize,
    },
    /// INSTALL [for install and make selectable], with the transport secret.
    Install,
    /// GET STATUS and SELECT.
    Confirm,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delete(aid) => match aid.our_name() {
                Some(name) => write!(f, "DELETE {aid} ({name})"),
                None => write!(f, "DELETE {aid} (an instance from the simsync package)"),
            },
            Self::Announce => write!(f, "INSTALL [for load] {}", Aid::our_package()),
            Self::Load { blocks, bytes } => write!(f, "LOAD {bytes} bytes in {blocks} blocks"),
            Self::Install => write!(
                f,
                "INSTALL [for install and make selectable] {}, with the transport secret (encrypted)",
                Aid::our_applet()
            ),
            Self::Confirm => write!(
                f,
                "GET STATUS and SELECT {}: is it there?",
                Aid::our_applet()
            ),
        }
    }
}

/// SELECT of our applet; without authentication. It ends whatever was selected before.
pub fn probe<T: Transport>(transport: &mut T) -> Result<Presence, GpError> {
    let first = select_applet(transport)?;
    if first != (Presence::Unknown { version: None }) {
        return Ok(first);
    }
    // A SELECT that fits no application goes to the one that is selected (Java Card Runtime Environment 3.0.4, 4.5.2),
    // which may answer anything. The card manager knows what is there.
    match domain::select_issuer_domain(transport) {
        Err(e @ (GpError::Transport { .. } | GpError::Terminated)) => Err(e),
        Ok(domain) if domain.locked => Err(GpError::Locked),
        _ => select_applet(transport),
    }
}

fn select_applet<T: Transport>(transport: &mut T) -> Result<Presence, GpError> {
    match Applet::new(transport).select() {
        Ok(Selected {
            version, lifecycle, ..
        }) => Ok(Presence::Applet { version, lifecycle }),
        Err(CardError::Transport { command, source }) => {
            Err(GpError::Transport { command, source })
        }
        Err(CardError::Refused {
            status: Status::NotFound,
            ..
        }) => Ok(Presence::Absent),
        Err(CardError::Version { major, minor }) => Ok(Presence::Unknown {
            version: Some((major, minor)),
        }),
        Err(_) => Ok(Presence::Unknown { version: None }),
    }
}

impl Presence {
    /// Refuses where deleting would destroy keys in use, or may.
    pub fn check_deletable(&self, wishes: Wishes) -> Result<(), GpError> {
        let state = match self {
            Self::Applet {
                lifecycle: Lifecycle::Enrolled,
                ..
            } => "enrolled",
            Self::Unknown { .. } => "it does not tell its state",
            Self::Absent | Self::Applet { .. } => return Ok(()),
        };
        if wishes.destroy_keys {
            return Ok(());
        }
        Err(GpError::InUse { state })
    }

    /// What installing this version means here.
    pub fn judge(&self, version: (u8, u8), wishes: Wishes) -> Result<Verdict, GpError> {
        let there = match self {
            Self::Absent => return Ok(Verdict::Install { delete: false }),
            Self::Applet { version, .. } => Some(*version),
            Self::Unknown { version } => *version,
        };
        if wishes.replace {
            self.check_deletable(wishes)?;
            return Ok(Verdict::Install { delete: true });
        }
        match (self, there) {
            (Self::Applet { lifecycle, .. }, Some(same)) if same == version => {
                Ok(Verdict::Nothing(*lifecycle))
            }
            (_, Some(other)) => Err(GpError::OtherVersion {
                there: other,
                here: version,
            }),
            _ => Err(GpError::InUse {
                state: "it does not tell its state",
            }),
        }
    }
}

/// What was found out without authentication, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What SELECT of the applet said.
    pub presence: Presence,
    /// What is to be done.
    pub verdict: Verdict,
    /// The issuer security domain, if something is to be done.
    pub domain: Option<Domain>,
    /// Free persistent memory in bytes, if the card tells.
    pub free: Option<u32>,
}

/// Looks at the card and decides, without authentication: nothing is changed and no try is spent.
pub fn prepare<T: Transport>(
    transport: &mut T,
    version: (u8, u8),
    wishes: Wishes,
) -> Result<Prepared, GpError> {
    let presence = probe(transport)?;
    let verdict = presence.judge(version, wishes)?;
    let mut prepared = Prepared {
        presence,
        verdict,
        domain: None,
        free: None,
    };
    if let Verdict::Install { .. } = verdict {
        prepared.domain = Some(unlocked_domain(transport)?);
        prepared.free = domain::free_memory(transport)?.map(|m| m.persistent);
    }
    Ok(prepared)
}

fn unlocked_domain<T: Transport>(transport: &mut T) -> Result<Domain, GpError> {
    let domain = domain::select_issuer_domain(transport)?;
    if domain.locked {
        return Err(GpError::Locked);
    }
    Ok(domain)
}

/// What [`perform`] takes from its caller: the applet, the keys of the card, and what may be deleted.
#[derive(Debug, Clone, Copy)]
pub struct InstallRequest<'a> {
    /// The CAP file, which holds our applet and nothing else.
    pub cap: &'a CapFile,
    /// The card's keys.
    pub access: Access<'a>,
    /// What the applet will ask for when it is personalised.
    pub secret: &'a TransportSecret,
    /// What the caller allows.
    pub wishes: Wishes,
}

/// Does what [`prepare`] decided: authenticates, once, and installs. `host_challenge` must be random.
pub fn perform<T: Transport>(
    mut transport: T,
    prepared: &Prepared,
    order: &InstallRequest<'_>,
    host_challenge: &[u8; 8],
    progress: impl FnMut(Progress<'_>),
) -> Result<Selected, GpError> {
    // Keys may have been typed meanwhile, and cards changed.
    if probe(&mut transport)? != prepared.presence {
        return Err(GpError::OtherCard);
    }
    let domain = unlocked_domain(&mut transport)?;
    let mut session = open_selected(transport, &domain, &order.access, host_challenge)?;
    let registry = Registry::read(&mut session)?;
    check_registered(&prepared.presence, &registry, order.wishes)?;
    install(
        session,
        order.cap,
        order.secret,
        &registry,
        prepared.free,
        progress,
    )
}

/// An applet that SELECT does not find and the registry lists is a locked one, whose keys may be in use.
fn check_registered(
    presence: &Presence,
    registry: &Registry,
    wishes: Wishes,
) -> Result<(), GpError> {
    let hidden =
        *presence == Presence::Absent && registry.application(&Aid::our_applet()).is_some();
    if hidden {
        Presence::Unknown { version: None }.check_deletable(wishes)?;
    }
    Ok(())
}

/// Deletes the applet and its package: looks whether keys would be destroyed, authenticates, once, and answers what was
/// deleted. `host_challenge` must be random.
pub fn remove<T: Transport>(
    mut transport: T,
    access: &Access<'_>,
    host_challenge: &[u8; 8],
    wishes: Wishes,
) -> Result<Vec<Aid>, GpError> {
    let presence = probe(&mut transport)?;
    presence.check_deletable(wishes)?;
    let domain = unlocked_domain(&mut transport)?;
    let mut session = open_selected(transport, &domain, access, host_challenge)?;
    let registry = Registry::read(&mut session)?;
    check_registered(&presence, &registry, wishes)?;
    delete_ours(&mut session, &registry)
}

/// Refuses a card whose state allows no installation.
fn check_card_state(registry: &Registry) -> Result<(), GpError> {
    match registry.domain.as_ref().map(|d| d.state) {
        Some(CARD_LOCKED) => Err(GpError::Locked),
        Some(TERMINATED) => Err(GpError::Terminated),
        _ => Ok(()),
    }
}

/// What of ours is on the card, in the order in which it can be deleted: instances, then the load file.
pub fn ours(registry: &Registry) -> Vec<Aid> {
    let (package, applet) = (Aid::our_package(), Aid::our_applet());
    let instances = registry
        .applications
        .iter()
        .filter(|e| e.aid == applet || e.load_file.as_ref() == Some(&package))
        .map(|e| e.aid.clone());
    let file = registry.load_file(&package).map(|e| e.aid.clone());
    instances.chain(file).collect()
}

/// The steps of an installation on a card that holds this of ours, with commands of at most so much data.
pub fn plan(cap: &CapFile, there: &[Aid], max_data: usize) -> Result<Vec<Step>, GpError> {
    let blocks = cap.blocks(max_data)?;
    let mut steps: Vec<Step> = there.iter().cloned().map(Step::Delete).collect();
    steps.extend([
        Step::Announce,
        Step::Load {
            blocks: blocks.len(),
            bytes: blocks.iter().map(Vec::len).sum(),
        },
        Step::Install,
        Step::Confirm,
    ]);
    Ok(steps)
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The step of the plan that is at work.
    pub step: &'a Step,
    /// Commands of it that are done.
    pub done: usize,
    /// Commands that it has.
    pub total: usize,
}

/// Installs: what [`plan`] says for what the registry holds, up to the confirmation by GET STATUS and SELECT. The channel
/// ends with that SELECT. `free` is for the sentence when memory is short.
fn install<T: Transport>(
    mut session: Session<T>,
    cap: &CapFile,
    secret: &TransportSecret,
    registry: &Registry,
    free: Option<u32>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Selected, GpError> {
    // Before anything is deleted: the secret would cross in the clear.
    if !session.level().encrypts_commands() {
        return Err(GpError::Unprotected("the transport secret"));
    }
    check_card_state(registry)?;
    let steps = plan(cap, &ours(registry), session.max_data())?;
    let blocks = cap.blocks(session.max_data())?;
    let wanted = cap.load_data().len();
    let named = |e| with_causes(e, wanted, free);
    for step in &steps {
        let total = if let Step::Load { blocks, .. } = step {
            *blocks
        } else {
            1
        };
        let mut at = |done| progress(Progress { step, done, total });
        at(0);
        match step {
            Step::Delete(aid) => delete(&mut session, aid)?,
            Step::Announce => announce(&mut session, cap).map_err(named)?,
            Step::Load { .. } => {
                for (number, block) in blocks.iter().enumerate() {
                    load(&mut session, number, block, number + 1 == total).map_err(named)?;
                    at(number + 1);
                }
                continue;
            }
            Step::Install => make_instance(&mut session, cap, secret).map_err(named)?,
            Step::Confirm => confirm_registry(&mut session, cap)?,
        }
        at(1);
    }
    confirm_selectable(session.close(), cap)
}

/// Deletes what of ours is there, and looks whether it is gone. Nothing else is ever deleted.
fn delete_ours<T: Transport>(
    session: &mut Session<T>,
    registry: &Registry,
) -> Result<Vec<Aid>, GpError> {
    check_card_state(registry)?;
    let there = ours(registry);
    for aid in &there {
        delete(session, aid)?;
    }
    if ours(&Registry::read(session)?).is_empty() {
        Ok(there)
    } else {
        Err(GpError::NotConfirmed("what was deleted is still there"))
    }
}

/// Causes that have a sentence of their own.
fn with_causes(error: GpError, wanted: usize, free: Option<u32>) -> GpError {
    match error {
        GpError::Refused { sw: 0x6A84, .. } => GpError::Memory { wanted, free },
        GpError::Refused { sw: 0x6438, .. } => GpError::TooOld,
        other => other,
    }
}

fn confirm_registry<T: Transport>(session: &mut Session<T>, cap: &CapFile) -> Result<(), GpError> {
    let registry = Registry::read(session)?;
    let Some(instance) = registry.application(&cap.applet()) else {
        return Err(GpError::NotConfirmed(
            "its registry does not list the applet",
        ));
    };
    if instance.state & SELECTABLE != SELECTABLE || instance.state & 0x80 != 0 {
        return Err(GpError::NotConfirmed(
            "its registry does not list the applet as selectable",
        ));
    }
    let Some(file) = registry.load_file(&cap.package()) else {
        return Err(GpError::NotConfirmed(
            "its registry does not list the package",
        ));
    };
    if file.version.is_some_and(|v| v != cap.version()) {
        return Err(GpError::NotConfirmed(
            "its registry lists another version of the package",
        ));
    }
    Ok(())
}

fn confirm_selectable<T: Transport>(transport: T, cap: &CapFile) -> Result<Selected, GpError> {
    let selected = match Applet::new(transport).select() {
        Ok(selected) => selected,
        Err(CardError::Transport { command, source }) => {
            return Err(GpError::Transport { command, source });
        }
        Err(_) => return Err(GpError::NotConfirmed("the applet cannot be selected")),
    };
    if selected.lifecycle != Lifecycle::Installed || selected.version != cap.version() {
        return Err(GpError::NotConfirmed("the applet on it is another one"));
    }
    Ok(selected)
}

#[cfg(test)]
mod tests;
