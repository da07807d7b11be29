//! The model held against the real applet by the same random sequences: same answers, same state.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use simsync_card::apdu::{Command, Response};
use simsync_card::ids::CardId;
use simsync_card::model::Model;
use simsync_card::transport::Transport;

use crate::bridge::{Bridge, Reader};
use crate::life::SECRET;
use crate::mirror::{Mirror, Seen};
use crate::sequence::{Known, Step, is_the_platforms, sequences};

/// Sequences, unless `SIMSYNC_SEQUENCES` says otherwise.
const SEQUENCES: u32 = 60;

/// The same card twice.
struct Twins {
    real: Reader,
    model: Model<Mirror>,
    seen: Rc<RefCell<Seen>>,
    known: Known,
}

impl Twins {
    fn new(real: Reader) -> Self {
        let seen = Rc::new(RefCell::new(Seen::default()));
        Self {
            real,
            model: Model::new(Mirror(seen.clone()), SECRET),
            seen,
            known: Known::default(),
        }
    }

    fn run(&mut self, step: &Step) -> Result<(), String> {
        for command in step.commands(&self.known) {
            match command {
                Some(command) => self.exchange(step, &command)?,
                None => {
                    self.real.reset();
                    self.model.reset();
                    // The simulator selects nothing after a reset; cards do not either.
                    self.exchange(
                        step,
                        &Step::Select.commands(&self.known)[0].clone().unwrap(),
                    )?;
                }
            }
        }
        Ok(())
    }

    fn exchange(&mut self, step: &Step, command: &Command) -> Result<(), String> {
        if is_the_platforms(command) {
            return Ok(());
        }
        let bytes = self.real.transmit(&command.encode()).unwrap();
        let real = Response::decode(&bytes).unwrap();
        {
            let mut seen = self.seen.borrow_mut();
            seen.ins = command.header()[1];
            seen.answer = real.data.to_vec();
            seen.hpke = step.hpke();
        }
        let model = self.model.process(command);
        if real != model {
            return Err(format!(
                "{command}: the applet answers {:04X} {}, the model {:04X} {}",
                real.sw,
                hex::encode(&*real.data),
                model.sw,
                hex::encode(&*model.data)
            ));
        }
        if let Some(wrong) = self.seen.borrow_mut().wrong.pop() {
            return Err(format!("{command}: {wrong}"));
        }
        if real.data.len() > 255 {
            return Err(format!("{command}: {} bytes", real.data.len()));
        }
        self.learn(command, &real);
        Ok(())
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
            (0x80, 0x40) => self.known.token = part(answer.data.len() - 16),
            _ => {}
        }
    }

    /// What no answer shows is read at the end, with the right PIN where there are tries left.
    fn compare_state(&mut self) -> Result<(), String> {
        self.run(&Step::Select)?;
        if self.model.tries().0 > 0 {
            for pin in 0..3 {
                self.run(&Step::Verify { pin })?;
            }
        }
        self.run(&Step::ReadInfo)?;
        self.run(&Step::ReadSessions)?;
        for slot in 0..16 {
            self.run(&Step::List { slot })?;
        }
        Ok(())
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

#[test]
fn m18_model_and_applet_answer_alike() {
    let bridge = Bridge::start();
    let seed: u64 = setting("SIMSYNC_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SIMSYNC_TEST_SEED={seed}");
    let cases = setting("SIMSYNC_SEQUENCES").unwrap_or(SEQUENCES);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&sequences(), |steps| {
        let mut twins = Twins::new(bridge.insert_blank("card"));
        let run = |twins: &mut Twins| {
            twins.run(&Step::Select)?;
            for step in &steps {
                twins.run(step)?;
            }
            twins.compare_state()
        };
        run(&mut twins).map_err(proptest::test_runner::TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
