//! What is other between two desired states, and what that comes to. Pure.

use std::collections::BTreeMap;

use crate::desired::{Desired, FunctionId, FunctionSpec};
use crate::status::{Action, Changes, DryRun, FunctionDryRun, MAX_NAMED, cut};

/// Functions that would be named in the answer in words.
const MAX_TOLD: usize = 4;

/// What would befall things that have ids.
pub(super) fn changes<K: Ord + ToString, V: PartialEq>(
    now: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> Changes {
    let mut changes = Changes::default();
    let mut add = |list: fn(&mut Changes) -> &mut Vec<String>, id: &K| {
        if list(&mut changes).len() < MAX_NAMED {
            list(&mut changes).push(id.to_string());
        } else {
            changes.more += 1;
        }
    };
    for (id, value) in wanted {
        match now.get(id) {
            None => add(|c| &mut c.added, id),
            Some(before) if before != value => add(|c| &mut c.changed, id),
            Some(_) => {}
        }
    }
    for id in now.keys().filter(|id| !wanted.contains_key(*id)) {
        add(|c| &mut c.removed, id);
    }
    changes
}

/// Functions that serve and would not any more.
pub(super) fn removed(
    wanted: &Desired,
    serving: &BTreeMap<FunctionId, FunctionSpec>,
) -> Vec<(FunctionId, FunctionDryRun)> {
    let gone = serving.iter().filter(|(id, _)| !wanted.functions.contains_key(*id));
    let removal = |(id, spec): (&FunctionId, &FunctionSpec)| {
        let removal = FunctionDryRun {
            action: Action::Remove,
            from_version: Some(spec.version),
            to_version: None,
            download_bytes: None,
            disk_bytes: None,
            new_permissions: None,
            awaits_approval: false,
            error: None,
            not_looked: None,
        };
        (id.clone(), removal)
    };
    gone.map(removal).collect()
}

/// The most that instances kept hot could take, in bytes.
pub(super) fn memory(functions: &BTreeMap<FunctionId, FunctionSpec>) -> u64 {
    let of = |f: &FunctionSpec| u64::from(f.instances.min).saturating_mul(u64::from(f.memory_pages) << 16);
    functions.values().map(of).fold(0, u64::saturating_add)
}

/// The answer in a code and in words.
pub(super) fn judge(told: &mut DryRun, functions: &[(FunctionId, FunctionDryRun)]) {
    let count =
        |wanted: &dyn Fn(&FunctionDryRun) -> bool| functions.iter().filter(|(_, f)| wanted(f)).count();
    let mut wrong: Vec<String> = functions
        .iter()
        .filter_map(|(id, function)| Some(format!("{id}: {}", function.error.as_ref()?)))
        .take(MAX_TOLD)
        .collect();
    let more = count(&|f| f.error.is_some()).saturating_sub(wrong.len());
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    if let (Some(needed), Some(free)) = (told.disk_bytes, told.disk_free_bytes)
        && needed > free
    {
        wrong.push(format!("it needs {needed} bytes of disk, and {free} are free"));
    }
    if !wrong.is_empty() {
        told.code = 500;
        told.description = format!("would fail: {}", wrong.join("; "));
        return;
    }
    let of = |action: Action| count(&move |f| f.action == action);
    let mut words = vec![format!(
        "would be applied: functions: {} added, {} updated, {} removed",
        of(Action::Add),
        of(Action::Update),
        of(Action::Remove)
    )];
    if let Some(bytes) = told.download_bytes.filter(|bytes| *bytes > 0) {
        words.push(format!("{bytes} bytes to download"));
    }
    match count(&|f| f.awaits_approval) {
        0 => {}
        n => words.push(format!("{n} would wait for approval")),
    }
    match count(&|f| f.not_looked.is_some()) {
        0 => {}
        n => words.push(format!("{n} could not be looked at")),
    }
    if let (Some(then), Some(now), Some(free)) =
        (told.memory_bytes, told.memory_now_bytes, told.memory_available_bytes)
        && then.saturating_sub(now) > free
    {
        words.push(format!("instances may take {} bytes more than now, and {free} are free", then - now));
    }
    told.code = 200;
    told.description = cut(words.join("; "));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::{Defaults, Problems};

    fn desired(functions: &Value, routes: &Value) -> Result<Desired, Problems> {
        let mut document = json!({ "$version": 1, "functions": functions, "routes": routes });
        for function in document["functions"].as_object_mut().into_iter().flatten() {
            let rest = json!({ "version": 1, "artifact_url": "f.wasm", "sha256": "ab".repeat(32) });
            crate::desired::merge(function.1, &rest);
        }
        Desired::parse(&document, &Defaults::default())
    }

    fn listed(error: Option<&str>) -> (FunctionId, FunctionDryRun) {
        let function = FunctionDryRun {
            action: Action::Update,
            from_version: Some(1),
            to_version: Some(2),
            download_bytes: None,
            disk_bytes: None,
            new_permissions: None,
            awaits_approval: true,
            error: error.map(str::to_owned),
            not_looked: Some("too large".into()),
        };
        ("f".parse().unwrap_or_else(|e| panic!("{e}")), function)
    }

    #[test]
    fn what_is_other_is_named_and_the_same_is_not() -> Result<(), Problems> {
        let route = |path: &str| json!({ "path": path, "function_id": "f" });
        let now = desired(&json!({}), &json!({ "a": route("/a"), "b": route("/b"), "c": route("/c") }))?;
        let then = desired(&json!({}), &json!({ "a": route("/a"), "b": route("/x"), "d": route("/d") }))?;
        let told = changes(&now.routes, &then.routes);
        assert_eq!(
            (told.added, told.changed, told.removed),
            (vec!["d".into()], vec!["b".into()], vec!["c".into()])
        );
        let many: serde_json::Map<_, _> =
            (0..40).map(|n| (format!("r{n}"), route(&format!("/{n}")))).collect();
        let told = changes(&now.routes, &desired(&json!({}), &many.into())?.routes);
        assert_eq!((told.added.len(), told.removed.len(), told.more), (MAX_NAMED, 3, 40 - MAX_NAMED));
        Ok(())
    }

    #[test]
    fn memory_is_what_hot_instances_may_take() -> Result<(), Problems> {
        let functions = json!({ "a": { "memory_pages": 16, "instances": { "min": 3 } },
                                "b": { "memory_pages": 100, "instances": { "min": 0 } },
                                "c": { "memory_pages": 1, "instances": { "min": 1 } } });
        assert_eq!(memory(&desired(&functions, &json!({}))?.functions), 49 << 16);
        Ok(())
    }

    #[test]
    fn the_answer_names_what_is_wrong_else_what_would_happen() {
        let mut told = DryRun { download_bytes: Some(7), ..DryRun::default() };
        judge(&mut told, &[listed(None)]);
        let words = "would be applied: functions: 0 added, 1 updated, 0 removed; 7 bytes to download; \
                     1 would wait for approval; 1 could not be looked at";
        assert_eq!((told.code, told.description.as_str()), (200, words));
        let wrong: Vec<_> = (0..6).map(|_| listed(Some("no"))).collect();
        judge(&mut told, &wrong);
        let words = "would fail: f: no; f: no; f: no; f: no; and 2 more";
        assert_eq!((told.code, told.description.as_str()), (500, words));
    }

    #[test]
    fn too_little_disk_fails_and_too_little_memory_is_said() {
        let mut told = DryRun { disk_bytes: Some(101), disk_free_bytes: Some(100), ..DryRun::default() };
        judge(&mut told, &[]);
        assert_eq!(told.code, 500);
        assert!(
            told.description.contains("needs 101 bytes of disk, and 100 are free"),
            "{}",
            told.description
        );
        told = DryRun {
            memory_bytes: Some(60),
            memory_now_bytes: Some(10),
            memory_available_bytes: Some(49),
            ..DryRun::default()
        };
        judge(&mut told, &[]);
        assert_eq!(told.code, 200);
        assert!(told.description.contains("50 bytes more than now, and 49 are free"), "{}", told.description);
    }
}
