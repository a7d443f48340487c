//! Which functions ask for more than they may without somebody's approval. Pure.
//!
//! The gate is for updates: a function that nothing serves under its id is as new as the document that asks for it, and
//! needs no approval. Limits (`memory_pages`, `instances`, `max_execution_ms`) are no permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{Desired, FunctionId, FunctionSpec};

/// Things of one kind that are named; the rest is counted.
const MAX_NAMED: usize = 8;

/// The functions that ask for more than the version that serves under their id, and whose version `approve` does not
/// name, each with what is new; none where `settings.gate_new_permissions` is not set.
///
/// `serving` is what served last, before a restart of the agent as well: by what serves in this moment alone, a restart
/// would approve everything.
pub fn unapproved(
    wanted: &Desired,
    serving: &BTreeMap<FunctionId, FunctionSpec>,
) -> BTreeMap<FunctionId, String> {
    if !wanted.settings.gate_new_permissions {
        return BTreeMap::new();
    }
    let waits = |(id, spec): (&FunctionId, &FunctionSpec)| {
        let approved = wanted.approve.get(id) == Some(&spec.version);
        let new = serving.get(id).filter(|_| !approved).and_then(|old| new_permissions(Some(old), spec))?;
        Some((id.clone(), new))
    };
    wanted.functions.iter().filter_map(waits).collect()
}

/// What a function may do that the one before it may not, in words; none where there is nothing.
pub fn new_permissions(old: Option<&FunctionSpec>, new: &FunctionSpec) -> Option<String> {
    let mut told = Vec::new();
    let had =
        |pattern| old.is_some_and(|old| old.permissions.http.iter().any(|before| before.includes(pattern)));
    add(&mut told, "calls", new.permissions.http.iter().filter(|pattern| !had(pattern)));
    if new.permissions.telemetry && !old.is_some_and(|old| old.permissions.telemetry) {
        told.push("sends telemetry".to_owned());
    }
    let saw = |name| old.is_some_and(|old| old.permissions.headers.contains(name));
    add(&mut told, "sees the header", new.permissions.headers.iter().filter(|name| !saw(name)));
    let sent_to: BTreeSet<_> = old.iter().flat_map(|old| old.outputs.values()).collect();
    let sends_to: BTreeSet<_> = new.outputs.values().filter(|to| !sent_to.contains(to)).collect();
    add(&mut told, "sends messages to", sends_to);
    (!told.is_empty()).then(|| told.join("; "))
}

/// The `lastError` of a function that waits, in phase `pending`: what is new in this version of it, and what to do.
pub fn awaits_approval(id: &FunctionId, version: u64, new: &str) -> String {
    format!(
        "waits for approval, since it asks for more than the version that serves: {new}; \
         `\"approve\": {{\"{id}\": {version}}}` in the twin document lets it"
    )
}

fn add<T: Display>(told: &mut Vec<String>, verb: &str, things: impl IntoIterator<Item = T>) {
    let mut things: Vec<String> = things.into_iter().map(|thing| thing.to_string()).collect();
    let more = things.len().saturating_sub(MAX_NAMED);
    things.truncate(MAX_NAMED);
    match (things.is_empty(), more) {
        (true, _) => {}
        (false, 0) => told.push(format!("{verb} {}", things.join(", "))),
        (false, more) => told.push(format!("{verb} {} and {more} more", things.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::{Defaults, Problems};

    fn desired(version: u64, permissions: &Value, more: &Value) -> Result<Desired, Problems> {
        let mut document = json!({ "$version": 1, "settings": { "gate_new_permissions": true }, "functions": {
            "f": { "version": version, "artifact_url": "f.wasm", "sha256": "ab".repeat(32),
                   "permissions": permissions, "outputs": { "a": "x" } } } });
        crate::desired::merge(&mut document, more);
        Desired::parse(&document, &Defaults::default())
    }

    fn told(permissions: Value, more: Value) -> Result<Option<String>, Problems> {
        let before = json!({ "http": ["https://api.example.com/v1/*"], "headers": ["cookie"] });
        let serving = desired(1, &before, &json!({}))?.functions;
        Ok(unapproved(&desired(2, &permissions, &more)?, &serving).into_values().next())
    }

    #[test]
    fn what_is_new_waits_and_is_named() -> Result<(), Problems> {
        let more = json!({ "functions": { "f": { "outputs": { "a": "y", "b": "x", "c": "y" } } } });
        let asks = json!({ "http": ["https://api.example.com/v1/a", "https://*.example.com/*"],
                           "headers": ["authorization", "cookie"], "telemetry": true });
        let new = "calls https://*.example.com/*; sends telemetry; sees the header authorization; \
                   sends messages to y";
        assert_eq!(told(asks, more)?.as_deref(), Some(new));
        Ok(())
    }

    #[test]
    fn the_same_or_less_needs_no_approval() -> Result<(), Problems> {
        let limits = json!({ "functions": { "f": { "memory_pages": 999, "instances": { "max": 99 } } } });
        let same = json!({ "http": ["https://api.example.com/v1/*"], "headers": ["cookie"] });
        assert_eq!(told(same, limits)?, None);
        let less =
            json!({ "functions": { "f": { "outputs": null } }, "approve": { "gone": 4, "other": null } });
        assert_eq!(told(json!({ "http": ["https://api.example.com/v1/a/*"] }), less)?, None);
        Ok(())
    }

    #[test]
    fn approval_is_for_one_version_and_the_gate_for_who_sets_it() -> Result<(), Problems> {
        let asks = || json!({ "telemetry": true });
        assert!(told(asks(), json!({ "approve": { "f": 1 } }))?.is_some());
        assert_eq!(told(asks(), json!({ "approve": { "f": 2 } }))?, None);
        assert_eq!(told(asks(), json!({ "settings": { "gate_new_permissions": false } }))?, None);
        assert_eq!(told(asks(), json!({ "settings": null }))?, None);
        Ok(())
    }

    #[test]
    fn what_nothing_serves_is_no_update() -> Result<(), Problems> {
        let wanted = desired(2, &json!({ "telemetry": true }), &json!({}))?;
        assert!(unapproved(&wanted, &BTreeMap::new()).is_empty());
        let spec = wanted.functions.values().next();
        let new = spec.and_then(|spec| new_permissions(None, spec));
        assert_eq!(new.as_deref(), Some("sends telemetry; sends messages to x"));
        Ok(())
    }

    #[test]
    fn a_long_list_is_cut() -> Result<(), Problems> {
        let urls: Vec<_> = (0..20).map(|n| format!("https://h{n}.example.com/*")).collect();
        let new = told(json!({ "http": urls }), json!({}))?;
        assert!(new.is_some_and(|new| new.ends_with("https://h7.example.com/* and 12 more")));
        Ok(())
    }
}
