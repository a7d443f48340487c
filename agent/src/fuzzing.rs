//! What `tests/fuzz` calls: everything that the agent parses itself, each with what must hold whatever comes. Built by
//! `cargo fuzz` alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "a find is a panic")]

use http::Uri;
use serde_json::{Value, json};
use twinlet_host::http_client::Pattern;

use crate::chains::Chains;
use crate::config::{FileText, Layers, Resolved, show};
use crate::desired::{Accepted, AttachPoint, Change, Defaults, Desired, FunctionId, Refused, Sha256};
use crate::routes::{RouteTable, percent_decoded};

/// Every target by its name.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("config", config),
    ("desired", desired),
    ("framing", crate::http::heads::fuzz),
    ("names", names),
    ("package", crate::http::api::fuzz_package),
    ("paths", paths),
    ("records", records),
];

/// Messages from the hub, a line each: what kind it is, then its JSON.
fn desired(data: &[u8]) {
    let defaults = Defaults::default();
    let mut stands = Accepted::default();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((kind, json)) = line.split_first() else { continue };
        let Ok(message) = serde_json::from_slice::<Value>(json) else { continue };
        let outcome = match kind {
            b'd' => stands.document(message, &defaults),
            b'p' => stands.patch(&message, &defaults),
            b'f' => stands.deployment(message, &defaults),
            _ => stands.route_list(message, &defaults),
        };
        match outcome {
            Ok(Change::Next(next, desired)) => {
                let again = next.desired(&defaults).expect("what is accepted reads again");
                assert_eq!(format!("{again:?}"), format!("{desired:?}"));
                let stored = serde_json::to_vec(&next).unwrap();
                assert!(serde_json::from_slice::<Accepted>(&stored).unwrap() == *next, "changed by the disk");
                stands = *next;
            }
            Ok(Change::DryRun(_) | Change::None) => {}
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                assert_eq!(refused.code() == 400, matches!(refused, Refused::Invalid(_)));
            }
        }
    }
}

/// A pattern and a path, each on a line. Who guards a pattern guards all that a route of that pattern answers, and all
/// that whoever decodes the path first takes it for.
fn paths(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((pattern, path)) = text.split_once('\n') else { return };
    let document = json!({
        "$version": 1,
        "functions": { "f": { "version": 1, "artifact_url": "http://h/f", "sha256": "0".repeat(64) } },
        "routes": { "r": { "path": pattern, "function_id": "f" } },
        "middleware": { "m": { "function_id": "f", "attach": ["on-request"], "paths": [pattern] } },
    });
    let Ok(desired) = Desired::parse(&document, &Defaults::default()) else { return };
    let (routes, chains) =
        (RouteTable::new(&desired.routes), Chains::new(&Vec::from_iter(desired.middleware)));
    let guarded = !chains.of(AttachPoint::Request, path).is_empty();
    for reading in [path.to_owned(), percent_decoded(path), percent_decoded(&percent_decoded(path))] {
        let found = routes.find("h", &reading, "GET").is_ok();
        assert!(guarded || !found, "{path:?} passes the guard of {pattern:?}");
    }
}

/// Ids, digests and URL patterns, with a URL on a second line.
fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, url) = text.split_once('\n').unwrap_or((&text, "https://api.example.com/a"));
    if let Ok(id) = text.parse::<FunctionId>() {
        assert_eq!(id.as_str(), text);
        assert!(text.len() <= 64 && !text.contains(['/', '+', '#', '.', '"', '\\', '\n']));
    }
    if let Ok(digest) = text.parse::<Sha256>() {
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
    if let (Ok(pattern), Ok(url)) = (text.parse::<Pattern>(), url.parse::<Uri>())
        && pattern.covers(&url)
    {
        assert!(!url.authority().is_some_and(|authority| authority.as_str().contains('@')), "{url}");
        assert!(url.path().split('/').all(|segment| segment != ".."), "{url}");
    }
}

/// A configuration file.
fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = FileText { path: "twinlet.toml".into(), text: text.to_owned() };
    match Resolved::from_layers(Layers { file: Some(file), ..Layers::default() }) {
        Ok(resolved) => {
            for row in show(&resolved) {
                let secret = ["password", "secret"].iter().any(|word| row.key.ends_with(word));
                assert!(!secret || row.value.is_none_or(|value| value == "***"), "{} is shown", row.key);
            }
        }
        Err(problems) => assert!(!problems.as_slice().is_empty()),
    }
}

/// What the disk gives back.
fn records(data: &[u8]) {
    crate::store::fuzz_layout(data);
    crate::outbox::fuzz_place(data);
}
