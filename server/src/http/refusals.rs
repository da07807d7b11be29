//! Refusals in the audit log: the first ones of a terminal one by one, the others counted. One terminal neither fills the
//! log nor keeps its writer busy, and nothing that it was refused is left out.

use serde_json::json;
use simsync_card::ids::Hash;
use simsync_protocol::problem::{Code, Problem};

use super::call::Call;
use crate::app::App;
use crate::store::types::{Actor, AuditEntry};

/// Refusals that say that somebody tries what they may not.
fn is_telling(code: Code) -> bool {
    matches!(
        code,
        Code::TerminalRevoked
            | Code::CardRevoked
            | Code::CardMismatch
            | Code::SignatureRefused
            | Code::NonceRefused
            | Code::BindingRefused
            | Code::CollectionRefused
            | Code::ChainRefused
            | Code::SessionNumberUsed
    )
}

/// Notes a refusal, if it is telling and a terminal can be named.
pub async fn note(call: &Call, problem: &Problem) {
    let code = problem.code;
    let Some(certificate) = call.conn.certificate.filter(|_| is_telling(code)) else {
        return;
    };
    let most = call.app.limits.audit_refusals;
    if call.app.refusals.log_now(certificate, code, most) {
        let detail = json!({ "code": code, "path": call.head.uri.path() });
        write(&call.app, certificate, detail).await;
    }
}

/// Writes what was counted, one entry for each terminal and code.
pub async fn write_counted(app: &App) {
    for (certificate, counted) in app.refusals.take() {
        for (code, more) in counted.more {
            let detail = json!({ "code": code, "more": more });
            write(app, certificate, detail).await;
        }
    }
}

async fn write(app: &App, certificate: Hash, detail: serde_json::Value) {
    let Ok(Some(peer)) = app.pairings().peer(certificate).await else {
        return;
    };
    let entry = AuditEntry {
        subscriber: Some(peer.subscriber),
        actor: Actor::Terminal(peer.terminal),
        action: "refused",
        detail,
        now: app.now(),
    };
    if let Err(e) = app.audit().audit(entry).await {
        tracing::error!("the audit log cannot be written: {e}");
    }
}
