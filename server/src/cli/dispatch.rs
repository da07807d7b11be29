//! Where an order goes: to the running server, or to the store.

use std::path::Path;

use super::failure::Failure;
use crate::admin::{self, AdminCommand, Outcome, socket};
use crate::app::system_clock;
use crate::home::Home;

/// Through the running server, so that it takes effect on live connections; else on the store.
pub(super) async fn execute(dir: &Path, order: AdminCommand) -> Result<Outcome, Failure> {
    let home = Home::open(dir)?;
    if let Some(answer) = socket::order(&home.admin_socket(), &order).await {
        return Ok(answer??);
    }
    let store = home.store()?;
    Ok(admin::execute(store.as_ref(), order, system_clock()()).await?)
}
