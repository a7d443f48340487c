//! What a configuration says, key by key, and what a reload changed. It knows nothing of how it is printed or applied.

use super::Resolved;

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key's name.
    pub key: &'static str,
    /// The value, secrets as `***`; `None` where it is unset.
    pub value: Option<String>,
    /// Where it came from: `default`, `environment`, `flag`, or path and line of the file.
    pub source: String,
}

/// Every key with its value, redacted, and its source, in the table's order.
pub fn show(resolved: &Resolved) -> Vec<Row> {
    let row = |setting: &super::layers::Setting| Row {
        key: setting.key.name,
        value: setting.shown(),
        source: setting.source.to_string(),
    };
    resolved.settings.iter().map(row).collect()
}

/// The keys whose values differ between two configurations, by what it takes to apply them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadDifferences {
    /// Keys that SIGHUP applies.
    pub applied: Vec<&'static str>,
    /// Keys that keep their old value until a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Compares two configurations by the texts of their keys; a value that only moved to another layer is no change.
pub fn reload_differences(old: &Resolved, new: &Resolved) -> ReloadDifferences {
    let mut differences = ReloadDifferences::default();
    for (old, new) in old.settings.iter().zip(&new.settings) {
        if old.text != new.text {
            let kind = if new.key.reload { &mut differences.applied } else { &mut differences.needs_restart };
            kind.push(new.key.name);
        }
    }
    differences
}
