//! What a service on the bus signals, as one number that grows: whoever looks then asks for everything anew.

use futures_util::StreamExt;
use tokio::sync::watch;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

/// Counts what a service signals below a path, and its coming and going.
pub(super) async fn of(
    conn: &Connection,
    name: &'static str,
    root: &'static str,
) -> zbus::Result<watch::Receiver<u64>> {
    let own = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(name)
        .path_namespace(root)
        .build()?;
    let owner = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .arg(0, name)
        .build()?;
    let own = MessageStream::for_match_rule(own, conn, None).await?;
    let owner = MessageStream::for_match_rule(owner, conn, None).await?;
    let (tx, rx) = watch::channel(0);
    // A task of its own: a stream that nobody takes from would hold up the answers on its connection.
    let mut all = futures_util::stream::select(own, owner);
    tokio::spawn(async move {
        while all.next().await.is_some() {
            if tx.is_closed() {
                return;
            }
            tx.send_modify(|n| *n += 1);
        }
    });
    Ok(rx)
}
