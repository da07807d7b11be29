//! What a card may be after its power went in the middle of a command.

use super::chip::Chip;
use super::commands::writer;
use super::state::HEAD;
use super::{DONE, Model};
use crate::apdu::Command;

impl<C: Chip + Clone> Model<C> {
    /// Every card that a cut during this command may leave: as before it, as after it, or one of the few states between
    /// that docs/card.md allows. What was transient is gone in all of them.
    ///
    /// Not for the first PERSONALISE and GENERATE KEYS: what those draw, nobody saw.
    pub fn cut(&self, command: &Command) -> Vec<Self> {
        let mut done = self.clone();
        let mut out = vec![self.clone()];
        if done.process(command).sw == DONE {
            out.extend(self.between(command));
        }
        out.push(done);
        for model in &mut out {
            model.reset();
        }
        out
    }

    /// What a command has written when its last write is still to come, if anybody can tell that from the state before.
    fn between(&self, command: &Command) -> Option<Self> {
        let mut model = self.clone();
        let data = command.data();
        let m = &mut model.memory;
        match (command.header()[0], command.header()[1]) {
            // A right secret gives its tries back before anything else happens.
            (0x00, 0x24) => m.pin.check(data.get(..8)?).ok()?,
            (0x00, 0x2C) | (0x80, 0x50) => m.puk.check(data.get(..8)?).ok()?,
            (0x80, 0x10 | 0x12 | 0x14) => m.transport.check(data.get(..16)?).ok()?,
            // The head first, then the slots.
            (0x80, 0x44) => {
                let head = *data.get(16..)?.first_chunk::<HEAD>()?;
                m.put_head(head, writer(self.session.open.as_ref()?));
            }
            _ => return None,
        }
        Some(model)
    }

    /// Whether two cards remember the same.
    pub fn remembers_as(&self, other: &Self) -> bool {
        self.memory == other.memory
    }
}
