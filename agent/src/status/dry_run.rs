//! What would become of a desired state that came as a dry run. Pure data, bounded whatever the document holds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::desired::FunctionId;

/// Functions that are told of; of more, those that matter most.
const MAX_FUNCTIONS: usize = 64;
/// Routes, or middleware, that are named for each thing that befalls them.
pub const MAX_NAMED: usize = 32;
/// Characters of one text.
const MAX_CHARS: usize = 256;

/// `dryRun` of the reported state. All but the first five is there once the answer is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// The `$version` of the document; 0 where it has none.
    pub version: u64,
    /// Which dry run since the agent started: a repeated one has another number.
    pub run: u64,
    /// The sha256 of the message, by which whoever sent it knows the answer.
    pub message: String,
    /// 200 would be applied, 202 still being looked at, 400 not valid, 409 stale or in conflict, 500 would fail.
    pub code: u16,
    /// The same in words.
    pub description: String,
    /// Functions that would be added, updated or removed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<FunctionId, FunctionDryRun>,
    /// So many more would be, and are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_functions: usize,
    /// Functions that would stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<usize>,
    /// What would befall routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Changes>,
    /// What would befall middleware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub middleware: Option<Changes>,
    /// Bytes to download, as far as they are known; what the dry run fetched itself included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_bytes: Option<u64>,
    /// Bytes that artifacts and their compiled form would take; what the dry run has put into the cache included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Bytes that were free on the disk when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// The most that instances kept hot could take: `instances.min` times `memory_pages`, over all functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The same of what serves now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_now_bytes: Option<u64>,
    /// Memory that new work could have, as the kernel says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_available_bytes: Option<u64>,
}

/// What would become of one function.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDryRun {
    /// What would be done.
    pub action: Action,
    /// The version that serves, if any does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_version: Option<u64>,
    /// The version that is wanted, unless it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_version: Option<u64>,
    /// Bytes to download: 0 where the artifact is on the device, absent where its size is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_bytes: Option<u64>,
    /// Bytes that its artifact and the compiled form would take beyond what is there; an estimate where it was not
    /// compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// What it may do that the version that serves may not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_permissions: Option<String>,
    /// Whether it would wait until it is approved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub awaits_approval: bool,
    /// Why it would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it is not known whether it would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_looked: Option<String>,
}

/// What would be done with a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing serves under its id.
    Add,
    /// Another specification serves.
    Update,
    /// It is not wanted any more.
    Remove,
}

/// What would befall routes or middleware, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Not there now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// There, and otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// There, and not wanted any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// So many more, and not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

impl DryRun {
    /// Lists those of these functions that matter most: first what would fail, then what would wait or may do more.
    pub fn list(&mut self, functions: Vec<(FunctionId, FunctionDryRun)>) {
        let rank = |f: &FunctionDryRun| match (&f.error, f.awaits_approval, &f.new_permissions) {
            (Some(_), ..) => 0,
            (None, true, _) => 1,
            (None, false, Some(_)) => 2,
            (None, false, None) => 3,
        };
        let mut functions = functions;
        functions.sort_by_key(|(_, function)| rank(function));
        self.more_functions = functions.len().saturating_sub(MAX_FUNCTIONS);
        functions.truncate(MAX_FUNCTIONS);
        self.functions = functions.into_iter().collect();
    }
}

/// A text, or the first characters of a long one.
pub fn cut(text: impl Into<String>) -> String {
    let text: String = text.into();
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(error: Option<String>) -> FunctionDryRun {
        let long = || Some(cut("\u{1}".repeat(10_000)));
        FunctionDryRun {
            action: Action::Update,
            from_version: Some(u64::MAX),
            to_version: Some(u64::MAX),
            download_bytes: Some(u64::MAX),
            disk_bytes: Some(u64::MAX),
            new_permissions: long(),
            awaits_approval: true,
            error,
            not_looked: None,
        }
    }

    #[test]
    fn a_huge_document_makes_no_huge_report() {
        let mut report = DryRun::default();
        let error = |n: usize| (n == 1_999).then(|| cut("\u{1}".repeat(10_000)));
        report.list(
            (0..2_000)
                .filter_map(|n| Some((format!("f{n:063}").parse().ok()?, function(error(n)))))
                .collect(),
        );
        assert_eq!((report.functions.len(), report.more_functions), (MAX_FUNCTIONS, 2_000 - MAX_FUNCTIONS));
        let failing = report.functions.values().filter(|f| f.error.is_some()).count();
        assert_eq!(failing, 1, "what would fail is among the listed");
        let names = vec!["r".repeat(64); MAX_NAMED];
        let changes =
            Changes { added: names.clone(), changed: names.clone(), removed: names, more: usize::MAX };
        (report.routes, report.middleware) = (Some(changes.clone()), Some(changes));
        // Every character of a text may take six bytes.
        let bytes = serde_json::to_vec(&report).map(|bytes| bytes.len()).unwrap_or(usize::MAX);
        assert!((100_000..160_000).contains(&bytes), "{bytes}");
    }
}
