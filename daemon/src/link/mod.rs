//! The way to the server: one connection, what it brings by itself, and the grant that lives on it.

mod connection;
mod listener;
mod newer;
mod place;
mod renewal;

pub use connection::ServerLink;
pub use listener::Listener;
pub use newer::fetch_newer;
pub use place::where_to_pair;
pub use renewal::Renewal;
