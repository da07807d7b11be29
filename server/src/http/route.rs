//! Paths and methods of the API.

use http::{HeaderValue, Method};
use simsync_protocol::problem::{Code, Problem};

use super::call::Call;
use super::reply::Reply;
use crate::handlers::{commits, events, open, packs, sessions, tails, upload};

/// Every path with the methods that it takes.
pub const PATHS: &[(&str, &[Method])] = &[
    ("/v1/health", &[Method::GET]),
    ("/v1/nonce", &[Method::POST]),
    ("/v1/enrol", &[Method::POST]),
    ("/v1/pair", &[Method::POST]),
    ("/v1/pairings", &[Method::POST]),
    ("/v1/key-object", &[Method::GET]),
    ("/v1/key-objects", &[Method::GET]),
    ("/v1/sessions", &[Method::POST]),
    ("/v1/sessions/renew", &[Method::POST]),
    ("/v1/sessions/narrow", &[Method::POST]),
    ("/v1/commits", &[Method::GET, Method::POST]),
    ("/v1/packs", &[Method::GET]),
    ("/v1/packs/fetch", &[Method::POST]),
    ("/v1/packs/{id}", &[Method::GET, Method::PUT]),
    ("/v1/packs/{id}/state", &[Method::GET]),
    ("/v1/tails", &[Method::GET, Method::PUT]),
    ("/v1/tails/forget", &[Method::POST]),
    ("/v1/terminals/revoke", &[Method::POST]),
    ("/v1/cards/revoke", &[Method::POST]),
    ("/v1/events", &[Method::GET]),
];

/// Finds the pattern of a path, and the ID in it.
fn find(path: &str) -> Option<(&'static str, &'static [Method], Option<String>)> {
    let wanted: Vec<&str> = path.split('/').collect();
    PATHS.iter().find_map(|(pattern, methods)| {
        let parts: Vec<&str> = pattern.split('/').collect();
        let fits = parts.len() == wanted.len()
            && parts
                .iter()
                .zip(&wanted)
                .all(|(p, w)| p == w || *p == "{id}");
        let id = parts.iter().position(|p| *p == "{id}");
        fits.then(|| (*pattern, *methods, id.map(|i| wanted[i].to_owned())))
    })
}

/// Methods of a path, for the header that RFC 9110 wants with 405.
pub fn allowed(path: &str) -> Option<HeaderValue> {
    let (_, methods, _) = find(path)?;
    let names: Vec<_> = methods.iter().map(Method::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

/// Memory that the answer of a path may take, in bytes, where it may be large; reserved before it is made.
pub fn answer_size(method: &Method, path: &str) -> usize {
    let get = *method == Method::GET;
    match (find(path).map(|(pattern, ..)| pattern), get) {
        // Commits, key objects and tails: up to 4 MiB each, as base64.
        (Some("/v1/sessions" | "/v1/sessions/renew"), _) => 16 << 20,
        (Some("/v1/commits"), true) => 12 << 20,
        (Some("/v1/key-object" | "/v1/key-objects" | "/v1/tails"), true) => 6 << 20,
        // As many packs as the collection has: what is more than this is reserved when it is known.
        (Some("/v1/packs"), true) => 1 << 20,
        _ => 0,
    }
}

/// Calls the handler of a request.
pub async fn dispatch(call: &mut Call) -> Reply {
    let path = call.head.uri.path().to_owned();
    let Some((pattern, methods, id)) = find(&path) else {
        return Err(Problem::new(Code::NotFound, "there is no such path"));
    };
    if !methods.contains(&call.head.method) {
        let allowed: Vec<_> = methods.iter().map(Method::as_str).collect();
        return Err(Problem::new(
            Code::MethodNotAllowed,
            format!("this path takes {} only", allowed.join(" and ")),
        ));
    }
    let get = call.head.method == Method::GET;
    let id = id.unwrap_or_default();
    match (pattern, get) {
        ("/v1/health", _) => open::health(),
        ("/v1/nonce", _) => open::nonce(call).await,
        ("/v1/enrol", _) => open::enrol(call).await,
        ("/v1/pair", _) => open::pair(call).await,
        ("/v1/pairings", _) => sessions::pairings(call).await,
        ("/v1/key-object", _) => commits::key_object(call).await,
        ("/v1/key-objects", _) => commits::key_objects(call).await,
        ("/v1/sessions", _) => sessions::open(call).await,
        ("/v1/sessions/renew", _) => sessions::renew(call).await,
        ("/v1/sessions/narrow", _) => sessions::narrow(call).await,
        ("/v1/commits", true) => commits::after(call).await,
        ("/v1/commits", false) => commits::put(call).await,
        ("/v1/packs", _) => packs::live(call).await,
        ("/v1/packs/fetch", _) => packs::fetch(call).await,
        ("/v1/packs/{id}", true) => packs::get(call, &id).await,
        ("/v1/packs/{id}", false) => upload::one(call, &id).await,
        ("/v1/packs/{id}/state", _) => upload::state(call, &id).await,
        ("/v1/tails", true) => tails::get(call).await,
        ("/v1/tails", false) => tails::put(call).await,
        ("/v1/tails/forget", _) => tails::forget(call).await,
        ("/v1/terminals/revoke", _) => sessions::revoke_terminal(call).await,
        ("/v1/cards/revoke", _) => sessions::revoke_card(call).await,
        ("/v1/events", _) => events::stream(call).await,
        _ => Err(Problem::new(Code::NotFound, "there is no such path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_paths_win_over_ids() {
        assert_eq!(allowed("/v1/commits").unwrap(), "GET, POST");
        assert_eq!(allowed("/v1/packs").unwrap(), "GET");
        assert_eq!(find("/v1/packs/fetch").unwrap().0, "/v1/packs/fetch");
        let (pattern, _, id) = find("/v1/packs/00/state").unwrap();
        assert_eq!(
            (pattern, id.as_deref()),
            ("/v1/packs/{id}/state", Some("00"))
        );
        for bad in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v2/health",
            "/v1/packs/1/2",
            "/v1/health/",
        ] {
            assert!(find(bad).is_none(), "{bad}");
        }
    }
}
