//! The model held against the real applet by the same random sequences, with power cuts: same answers, same state.

mod card;
mod mirror;
mod sequence;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use simsync_card::apdu::{Command, Response, without_channel};
use simsync_card::ids::CardId;
use simsync_card::model::{Life, Model};

use crate::rig::{Result, repository};
pub use card::{FaultyCard, Protocol};
use mirror::{Mirror, Seen};
use sequence::{Known, SECRET, Step, is_the_platforms, lives};

/// How many shorter lives are tried to make a failing one short.
const SHRINK_ATTEMPTS: u32 = 4_000;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sequences of commands.
    pub sequences: u64,
    /// Commands in all of them.
    pub commands: u64,
    /// Commands in whose middle the power went.
    pub cuts: u64,
    /// Every status word that was answered.
    pub status_words: BTreeSet<u16>,
    /// Length of the longest answer's data.
    pub longest: usize,
}

/// The same card twice: the real one, and every model that it may be. After a cut there are several, until an answer
/// shows which one it is.
struct Twins<'c> {
    real: &'c mut FaultyCard,
    protocol: Protocol,
    models: Vec<Model<Mirror>>,
    seen: Rc<RefCell<Seen>>,
    known: Known,
    counts: &'c mut Counts,
}

impl<'c> Twins<'c> {
    fn new(real: &'c mut FaultyCard, protocol: Protocol, counts: &'c mut Counts) -> Result<Self> {
        real.blank(protocol, &SECRET)?;
        let seen = Rc::new(RefCell::new(Seen::default()));
        Ok(Self {
            real,
            protocol,
            models: vec![Model::new(Mirror::new(seen.clone()), SECRET)],
            seen,
            known: Known::default(),
            counts,
        })
    }

    fn run(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Reset => self.reset(),
            Step::Cut {
                step,
                write,
                tenths,
            } => self.cut(step, *write, *tenths),
            step => step.parts().iter().try_for_each(|part| self.one(part)),
        }
    }

    fn one(&mut self, step: &Step) -> Result<()> {
        if let Step::Reset = step {
            return self.reset();
        }
        let command = seen_whole(step.command(&self.known));
        if is_the_platforms(&command) {
            return Ok(());
        }
        match self.real.transmit(&command)? {
            Some(answer) => self.answered(step, &command, &answer),
            None => Err(format!("{command}: no answer")),
        }
    }

    fn reset(&mut self) -> Result<()> {
        self.real.reset()?;
        for model in &mut self.models {
            model.reset();
        }
        // The simulator selects nothing after a reset; cards do not either.
        self.one(&Step::Select)
    }

    fn see(&self, step: &Step, command: &Command, answer: &[u8]) {
        let mut seen = self.seen.borrow_mut();
        seen.ins = command.header()[1];
        seen.answer = answer.to_vec();
        seen.hpke = step.hpke();
    }

    fn answered(&mut self, step: &Step, command: &Command, real: &Response) -> Result<()> {
        self.counts.commands += 1;
        self.counts.status_words.insert(real.sw);
        self.counts.longest = self.counts.longest.max(real.data.len());
        self.see(step, command, &real.data);
        let understood = as_understood(self.protocol, command);
        let mut why = String::new();
        let seen = self.seen.clone();
        self.models.retain_mut(|model| {
            seen.borrow_mut().wrong.clear();
            let answer = model.process(&understood);
            if answer != *real {
                why = format!("the model {:04X} {}", answer.sw, hex(&answer.data));
                return false;
            }
            match seen.borrow_mut().wrong.pop() {
                Some(wrong) => {
                    why = wrong;
                    false
                }
                None => true,
            }
        });
        if self.models.is_empty() {
            return Err(format!(
                "{command}: the applet answers {:04X} {}, {why}",
                real.sw,
                hex(&real.data)
            ));
        }
        self.learn(command, real);
        Ok(())
    }

    /// The power goes at a write of the last command of the step, if it comes that far.
    fn cut(&mut self, step: &Step, write: u16, tenths: u8) -> Result<()> {
        let mut parts = step.parts();
        let Some(step) = parts.pop() else {
            return Ok(());
        };
        for part in &parts {
            self.one(part)?;
        }
        let last = seen_whole(step.command(&self.known));
        if is_the_platforms(&last) || self.draws(&last) {
            return Ok(());
        }
        self.real.cut_next(write, tenths)?;
        if let Some(answer) = self.real.transmit(&last)? {
            return self.answered(&step, &last, &answer);
        }
        self.counts.cuts += 1;
        self.see(&step, &last, &[]);
        let mut may_be: Vec<Model<Mirror>> = Vec::new();
        for model in self.models.iter().flat_map(|m| m.cut(&last)) {
            if !may_be.iter().any(|m| m.remembers_as(&model)) {
                may_be.push(model);
            }
        }
        self.models = may_be;
        self.reset()
    }

    /// Whether the command may draw what the card keeps and nobody would have seen.
    fn draws(&self, command: &Command) -> bool {
        match command.header()[..2] {
            [0x80, 0x10] => self.models.iter().any(|m| m.life() == Life::Installed),
            [0x80, 0x12] => true,
            _ => false,
        }
    }

    fn learn(&mut self, command: &Command, answer: &Response) {
        if answer.sw != 0x9000 {
            return;
        }
        let part = |at: usize| answer.data.get(at..at + 16)?.try_into().ok();
        match (command.header()[0], command.header()[1]) {
            (0x00, 0xA4) => {
                self.known.challenge = part(6);
                self.known.token = None;
            }
            (0x80, 0x84) => self.known.challenge = part(0),
            (0x80, 0x10) => self.known.card = part(0).map(CardId),
            (0x80, 0x40) => self.known.token = part(answer.data.len().saturating_sub(16)),
            _ => {}
        }
    }

    /// What no answer shows is read, with the right PIN where there are tries left.
    fn compare_state(&mut self) -> Result<()> {
        self.one(&Step::Select)?;
        for pin in 0..3 {
            if self.models.iter().all(|m| m.tries().0 > 0) {
                self.one(&Step::Verify { pin })?;
            }
        }
        self.one(&Step::ReadInfo)?;
        self.one(&Step::ReadSessions)?;
        for slot in 0..16 {
            self.one(&Step::List { slot })?;
        }
        // The head that it carries, and the number of its next session: as one of the terminals may be told.
        for terminal in 0..3 {
            self.run(&Step::Enter { terminal })?;
        }
        Ok(())
    }

    fn live(&mut self, life: &[Vec<Step>]) -> Result<()> {
        for sequence in life {
            self.counts.sequences += 1;
            self.reset()?;
            for step in sequence {
                self.run(step)?;
            }
        }
        self.compare_state()
    }
}

/// Status words that were answered although docs/card.md does not list them.
///
/// # Errors
/// If the document cannot be read.
pub fn undocumented(counts: &Counts) -> Result<Vec<String>> {
    let path = repository().join("docs/card.md");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let table = text.split_once("### Status words").map_or("", |(_, t)| t);
    let rows = table.lines().filter(|l| l.starts_with("| "));
    let listed: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .map(str::trim)
        .filter(|w| w.len() == 4)
        .collect();
    let is = |pattern: &str, sw: &str| {
        pattern
            .chars()
            .zip(sw.chars())
            .all(|(p, c)| p == 'X' || p == c)
    };
    let words = counts.status_words.iter().map(|sw| format!("{sw:04X}"));
    Ok(words
        .filter(|sw| !listed.iter().any(|p| is(p, sw)))
        .collect())
}

/// With T=0 the runtime, which the simulator leaves out, brings what Le has no room for.
fn as_understood(protocol: Protocol, command: &Command) -> Command {
    match protocol {
        Protocol::T0 => command.clone().expecting_any(),
        Protocol::T1 => command.clone(),
    }
}

/// The model is told what the card draws and signs by the card's answer, so that such an answer is asked for whole.
fn seen_whole(command: Command) -> Command {
    let [cla, ins, ..] = command.header();
    match (without_channel(cla), ins) {
        (0x80, 0x20 | 0x32 | 0x34) => command,
        _ if command.expected().is_some() => command.expecting_any(),
        _ => command,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Lets `least` sequences run, several in the life of each card, and more until the life of the last card is over.
///
/// # Errors
/// The first life in which applet and model differ, made as short as it can be, with the seed that leads to it.
pub fn compare(seed: u64, least: u64, mut told: impl FnMut(&Counts)) -> Result<Counts> {
    let real = RefCell::new(FaultyCard::start()?);
    let counts = RefCell::new(Counts::default());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: SHRINK_ATTEMPTS,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let lives = lives();
    while counts.borrow().sequences < least {
        let life = lives.new_tree(&mut runner).map_err(|e| e.to_string())?;
        let lived = runner.run_one(life, |(protocol, life)| {
            let (mut real, mut counts) = (real.borrow_mut(), counts.borrow_mut());
            Twins::new(&mut real, protocol, &mut counts)
                .and_then(|mut twins| twins.live(&life))
                .map_err(TestCaseError::fail)
        });
        match lived {
            Ok(_) => told(&counts.borrow()),
            Err(TestError::Fail(why, life)) => {
                return Err(format!("seed {seed}: {why}\n{life:#?}"));
            }
            Err(TestError::Abort(why)) => return Err(format!("seed {seed}: {why}")),
        }
    }
    Ok(counts.into_inner())
}
