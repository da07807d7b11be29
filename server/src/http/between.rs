//! Somebody between requests and what answers them: nobody, but in tests of what a server may do that means harm.

use std::sync::Arc;

use async_trait::async_trait;

use super::call::Call;
use super::reply::Reply;
use crate::app::App;

/// Answers instead of the handlers, with or without asking [`super::dispatch`].
#[async_trait]
pub trait Between: Send + Sync {
    /// Answers a request; the handlers see it only if this calls [`super::dispatch`].
    async fn answer(&self, call: &mut Call) -> Reply;
}

/// Lets somebody stand there from the next request on, or nobody.
pub fn put(app: &App, who: Option<Arc<dyn Between>>) {
    let who = who.map(|who| Arc::new(who) as _);
    *app.between.lock() = who;
}

/// Who stands there now.
pub(super) fn who(app: &App) -> Option<Arc<dyn Between>> {
    let who = app.between.lock();
    who.as_ref()?.downcast_ref::<Arc<dyn Between>>().cloned()
}
