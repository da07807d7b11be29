//! A batch of cards from blank to enrolled, pulled at random commands, the tool killed now and then: each person ends with
//! exactly one card.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simsync_rig::rig::Result;
use simsync_rig::station::{End, IssuingStation};

use super::{Plan, Report};

/// Lines of the journal between two kills, at most: four a card.
const BETWEEN_KILLS: usize = 200;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let mut desk = IssuingStation::start(plan.cards, plan.seed, |_| Ok(()))?;
    desk.yank = 0.4;
    let mut kill_at = rng.random_range(2..BETWEEN_KILLS);
    while kill_at < 4 * plan.cards {
        if desk.run(&[], Some(kill_at))? != End::Killed {
            return Err("the tool ended before its work was done".to_owned());
        }
        kill_at += rng.random_range(1..BETWEEN_KILLS);
    }
    match desk.run(&[], None)? {
        End::Itself(last) if last["event"] == "end" => {}
        other => return Err(format!("the batch ended otherwise: {other:?}")),
    }
    report.yanks += desk.yanks;
    desk.check(plan.cards)?;
    report.cards_issued += plan.cards as u64;
    Ok(())
}
