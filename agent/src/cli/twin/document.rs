//! Desired state from a file or a flag, and whether a node would take it.

use std::io::Read;

use anyhow::{Context, bail};
use serde_json::Value;
use twinlet_host::twin::depth;

use crate::config;
use crate::desired::{Defaults, Desired};
use crate::twin::MAX_DEPTH;

/// Reads a JSON object from a file, or from standard input for `-`. Where `inline` is set, the text may be the object
/// itself.
pub(super) fn read(source: &str, inline: bool) -> anyhow::Result<Value> {
    let (text, place) = if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        (text, "standard input")
    } else if inline && source.trim_start().starts_with('{') {
        (source.to_owned(), "the patch")
    } else {
        (std::fs::read_to_string(source).with_context(|| source.to_owned())?, source)
    };
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{place} is not JSON"))?;
    if !value.is_object() {
        bail!("{place} is JSON, but not an object");
    }
    Ok(value)
}

/// The `$version` of a document, 0 where it has none.
pub(super) fn version(document: &Value) -> u64 {
    document.get("$version").and_then(Value::as_u64).unwrap_or(0)
}

/// Sets the `$version` of a document.
pub(super) fn set_version(document: &mut Value, version: u64) {
    if let Value::Object(map) = document {
        map.insert("$version".to_owned(), version.into());
    }
}

/// Everything for which a node with default settings refuses a document.
pub(super) fn problems(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Err(problems) = Desired::parse(document, &Defaults::default()) {
        found.push(problems.to_string());
    }
    if depth(document) > MAX_DEPTH {
        found.push(format!("it is nested more than {MAX_DEPTH} levels deep"));
    }
    let bytes = document.to_string().len();
    let most = config::key("mqtt_max_message_bytes").and_then(|key| key.default?.parse().ok());
    if most.is_some_and(|most: usize| bytes > most) {
        found.push(format!(
            "it has {bytes} bytes, more than a node reads by default (MQTT_MAX_MESSAGE_BYTES)"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_node_would_refuse_is_refused_here() {
        assert_eq!(problems(&json!({ "$version": 1 })), Vec::<String>::new());
        let told = problems(&json!({ "$version": 1, "colour": 1 })).concat();
        assert!(told.contains("colour"), "{told}");
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        let function = |config: Value| json!({ "version": 1, "artifact_url": "f", "sha256": "ab".repeat(32), "config": config });
        let told = problems(&json!({ "$version": 1, "functions": { "f": function(json!({ "k": deep })) } }));
        assert!(told.concat().contains("levels"), "{told:?}");
        let long = "x".repeat(300_000);
        let told = problems(&json!({ "$version": 1, "functions": { "f": function(json!({ "k": long })) } }));
        assert!(told.concat().contains("MQTT_MAX_MESSAGE_BYTES"), "{told:?}");
    }

    #[test]
    fn a_patch_may_stand_on_the_command_line() {
        assert_eq!(read(r#" {"a":1}"#, true).unwrap(), json!({ "a": 1 }));
        assert!(read(r#"{"a":1}"#, false).unwrap_err().to_string().contains("{\"a\":1}"));
    }
}
