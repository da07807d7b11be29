//! A server that means harm while a terminal works: it has every byte, and no key. Then it is honest again.

use std::sync::Arc;

use simsync_server::http::between;
use simsync_server::testing::{Liar, Lie};

use crate::check::{self, Broken};
use crate::ops::Work;
use crate::world::World;

impl World {
    /// A terminal works, and after `left` true answers the server lies. `knob`: what the lie leaves open.
    pub async fn lied_to(
        &mut self,
        at: u8,
        work: Work,
        (lie, left, knob): (Lie, u8, u16),
    ) -> Result<(), Broken> {
        if matches!(work, Work::Insert | Work::Sync | Work::Eject) {
            self.take_card_from_others(at).await?;
        }
        let liar = Arc::new(Liar::new(lie, left.into(), knob.into()));
        let app = self.person.server.app().clone();
        between::put(&app, Some(liar.clone()));
        self.is_lying = true;
        let ended = self.work(at, work, true).await;
        self.is_lying = false;
        between::put(&app, None);
        for commit in liar.take_late() {
            // Where it is refused, the terminal sent another one since.
            let _ = app.chain().put_commit(commit).await;
        }
        ended?;
        check::nothing_is_foreign(self, at)?;
        if liar.told() > 0 {
            // Whatever the grant is good for: a daemon that is refused renews it.
            self.at_mut(at).disconnected();
        }
        Ok(())
    }
}
