//! A request under way.

use std::sync::Arc;

use hyper::body::Incoming;

use crate::app::App;
use crate::net::connection::Conn;
use crate::net::shares::Hold;

/// A request with everything it needs.
pub struct Call {
    /// What all requests share.
    pub app: Arc<App>,
    /// The connection that it came on.
    pub conn: Arc<Conn>,
    /// Method, path, headers.
    pub head: http::request::Parts,
    /// Its body, until somebody reads it.
    pub body: Option<Incoming>,
    /// What is reserved for it until it is answered.
    pub held: Vec<Hold>,
}
