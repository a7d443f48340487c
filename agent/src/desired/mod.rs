//! What the hub wants: typed, and valid by construction. Knows nothing of how documents arrive or are carried out.
//!
//! What is parsed is the JSON of `edge/twin/{node_id}/desired` as it came; [`Desired`] is what it means. The messages
//! of the contract's own topics lie as a layer above it: see [`Accepted`].

mod accepted;
mod approval;
mod artifact_url;
mod function;
mod ids;
mod local;
mod middleware;
mod problems;
mod proving;
mod rollout;
mod route;
mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use serde_json::Value;

pub use accepted::{Accepted, Change, Refused, is_dry_run, merge};
pub use approval::{awaits_approval, new_permissions, unapproved};
pub use artifact_url::{OciReference, S3Object, is_absolute};
pub use function::{
    Defaults, Entrypoint, FunctionSpec, Instances, Isolation, Permissions, StatePolicy, WITHHELD,
};
pub use ids::{FunctionId, IdError, MiddlewareId, RouteId, Sha256};
pub use local::{Ask, AskError, Bundle, Done, Module, Origin};
pub use middleware::{AttachPoint, MiddlewareSpec, OnFailure};
pub use problems::{Object, Problems};
pub use proving::{Health, Trial};
pub use rollout::{OnTrial, Refusals, Refused as RefusedFunction, Rollout, Standing, Stood, Unit};
pub use route::{Host, PathPattern, RouteSpec, Segment};
pub use signature::{PublicKey, PublicKeyError, Signature, SignatureError, Trust, Untrusted, signed_text};

/// The key of a document or deployment message by which its functions may go back to an older version.
const ALLOW_DOWNGRADE: &str = "allow_downgrade";

/// Everything the node should be: functions, routes and settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The twin document's `$version`; 0 before the first.
    pub version: u64,
    /// The functions to run, by id.
    pub functions: BTreeMap<FunctionId, FunctionSpec>,
    /// The routes to them, by id.
    pub routes: BTreeMap<RouteId, RouteSpec>,
    /// The functions attached to requests, by id.
    pub middleware: BTreeMap<MiddlewareId, MiddlewareSpec>,
    /// What the hub sets of the agent itself.
    pub settings: Settings,
    /// The versions of functions that may have more permissions than the ones before them.
    pub approve: BTreeMap<FunctionId, u64>,
    /// Who asked for each of the functions.
    pub origins: BTreeMap<FunctionId, Origin>,
    /// What was added by `POST /wasm`, by its module id; the hub may use the id of its function by now.
    pub modules: BTreeMap<String, Module>,
    /// Components of all that was asked for on the device, wanted now or not.
    pub kept: BTreeSet<Sha256>,
    /// Functions that stand on the disk and that the device's configuration does not admit, with the reason: asked for
    /// on the device and too large for it now, or the hub's and signed by nobody who is trusted now.
    pub misfits: BTreeMap<FunctionId, String>,
    /// The hub's functions that somebody trusted has signed.
    pub signed: BTreeSet<FunctionId>,
    /// Whose signatures counted when this was read.
    pub trust: Trust,
    /// Which of the routes and middleware were asked for on the device.
    pub of_device: OfDevice,
    /// Whether the routes of the hub are those of a message of `edge/routes/{node_id}`, and not the twin document's.
    pub routes_by_message: bool,
    /// Whether what the hub wants does not read any more, as after a change of this device's configuration; then only
    /// what was asked for on the device is here.
    pub hub_unread: bool,
    /// The JSON that all this was read from.
    pub source: Arc<Accepted>,
}

/// Which routes and middleware were asked for on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfDevice {
    /// Its routes.
    pub routes: BTreeSet<RouteId>,
    /// Its middleware.
    pub middleware: BTreeSet<MiddlewareId>,
}

/// Settings of the agent that the hub may change; where absent, the device's own configuration holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Time between two heartbeats.
    pub heartbeat_interval: Option<Duration>,
    /// What the agent logs.
    pub log_level: Option<LevelFilter>,
    /// Whether an update that asks for more permissions waits until it is approved.
    pub gate_new_permissions: bool,
}

impl Desired {
    /// Functions of the hub's that are left out, with the reason: nobody who is trusted has signed them.
    pub fn untrusted(&self) -> impl Iterator<Item = (&FunctionId, &str)> {
        let of_hub = |id: &FunctionId| self.origins.get(id).is_some_and(|origin| *origin != Origin::Api);
        self.misfits.iter().filter(move |(id, _)| of_hub(id)).map(|(id, why)| (id, why.as_str()))
    }

    /// Reads a whole twin document, or says everything that is wrong with it.
    pub fn parse(document: &Value, defaults: &Defaults) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let desired = Self::read(document, defaults, &mut problems);
        problems.or(desired)
    }

    fn read(document: &Value, defaults: &Defaults, problems: &mut Problems) -> Option<Self> {
        let mut root = Object::of("", document, problems)?;
        let version = root.number("$version", 1..=u64::MAX, None, problems);
        let functions =
            read_map(root.object("functions", problems), problems, |id, path, value, problems| {
                let mut fields = Object::of(path, value, problems)?;
                let spec = FunctionSpec::read_signed(Some(id), &mut fields, defaults, problems);
                fields.end(problems);
                spec
            });
        let routes = root.object("routes", problems);
        let routes =
            read_map(routes, problems, |_, path, value, problems| RouteSpec::read(path, value, problems));
        let settings =
            root.object("settings", problems).map(|s| Settings::read(s, problems)).unwrap_or_default();
        let middleware = root.object("middleware", problems);
        let middleware = read_map(middleware, problems, |_, path, value, problems| {
            MiddlewareSpec::read(path, value, problems)
        });
        let approve = root.object("approve", problems);
        let approve =
            read_map(approve, problems, |_, path, value, problems| read_version(path, value, problems));
        root.flag(ALLOW_DOWNGRADE, problems);
        // What becomes of it is for `Accepted` to say.
        root.flag("dryRun", problems);
        root.end(problems);
        Some(Self { version: version?, functions, routes, middleware, settings, approve, ..Self::default() })
    }
}

impl Settings {
    fn read(mut settings: Object<'_>, problems: &mut Problems) -> Self {
        let interval = settings.number("heartbeat_interval_secs", 1..=86_400, Some(0), problems);
        let level = settings.get("log_level").map(|_| settings.parsed("log_level", problems));
        let gate_new_permissions = settings.flag("gate_new_permissions", problems);
        settings.end(problems);
        Self {
            heartbeat_interval: interval.filter(|secs| *secs > 0).map(Duration::from_secs),
            log_level: level.flatten(),
            gate_new_permissions,
        }
    }
}

/// Reads the version that `approve` names for a function.
fn read_version(path: &str, value: &Value, problems: &mut Problems) -> Option<u64> {
    if value.as_u64().is_none() {
        problems.add(path, "the version of the function is wanted, a whole number");
    }
    value.as_u64()
}

/// Reads an object whose keys are ids.
fn read_map<K: Ord + std::str::FromStr<Err = IdError>, V>(
    object: Option<Object<'_>>,
    problems: &mut Problems,
    mut read: impl FnMut(&K, &str, &Value, &mut Problems) -> Option<V>,
) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    let Some(object) = object else { return map };
    for (key, value) in object.entries() {
        let path = object.path(key);
        match key.parse() {
            Ok(id) => {
                if let Some(value) = read(&id, &path, value, problems) {
                    map.insert(id, value);
                }
            }
            Err(error) => problems.add(&path, error),
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sha() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn the_designs_document_reads_whole() -> Result<(), Problems> {
        let desired = Desired::parse(
            &json!({
                "$version": 7,
                "functions": { "fn_abc123": {
                    "version": 3, "artifact_url": "https://example.com/f.wasm", "sha256": sha(), "size": 48213,
                    "entrypoint": "main", "memory_pages": 256, "max_execution_ms": 5000,
                    "instances": { "min": 1, "max": 10, "idle_timeout_secs": 300, "isolation": "reused" },
                    "config": { "threshold": 21.5 },
                    "permissions": { "http": ["https://api.example.com/*"], "telemetry": true } } },
                "routes": { "r1": { "host": "*", "path": "/api/my-function", "function_id": "fn_abc123",
                                    "methods": ["POST"], "priority": 0 } },
                "middleware": {},
                "settings": { "heartbeat_interval_secs": 30, "log_level": "info" } }),
            &Defaults::default(),
        )?;
        assert_eq!(desired.version, 7);
        assert_eq!(desired.functions.len(), 1);
        assert_eq!(desired.routes.len(), 1);
        assert_eq!(desired.settings.log_level, Some(LevelFilter::Info));
        Ok(())
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_path() {
        let document = json!({
            "$version": "7", "color": 1,
            "functions": { "../etc": {}, "f": { "version": -1, "artifact_url": "ftp://x/y", "sha256": "abc",
                                                "memory_pages": 99_999_999, "surprise": true } },
            "routes": { "r": { "path": "no-slash", "function_id": "f\0", "methods": "GET" } },
            "approve": { "F": 1, "f": "1" }, "dryRun": "true",
            "settings": { "log_level": "loud", "gate_new_permissions": 1 } });
        let told =
            Desired::parse(&document, &Defaults::default()).map_or_else(|p| p.to_string(), |_| String::new());
        for path in [
            "$version:",
            "color:",
            "functions.../etc:",
            "functions.f.version:",
            "functions.f.artifact_url:",
            "functions.f.sha256:",
            "functions.f.memory_pages:",
            "functions.f.surprise:",
            "routes.r.path:",
            "routes.r.function_id:",
            "routes.r.methods:",
            "settings.log_level:",
            "settings.gate_new_permissions:",
            "approve.F:",
            "approve.f:",
            "dryRun:",
        ] {
            assert!(told.contains(path), "{path} is not in: {told}");
        }
    }

    #[test]
    fn middleware_is_closed_and_for_all_paths_unless_it_says_else() -> Result<(), Problems> {
        let document = json!({ "$version": 1, "middleware": {
            "m1": { "function_id": "fn_auth", "attach": ["on-response", "on-request"] },
            "m2": { "function_id": "fn_log", "attach": ["on-error"], "order": -1, "paths": ["/api/*", "/x"],
                    "on_failure": "open" } } });
        let desired = Desired::parse(&document, &Defaults::default())?;
        let specs: Vec<_> = desired.middleware.values().collect();
        assert!(matches!(specs.as_slice(), [first, second]
            if first.attach == [AttachPoint::Request, AttachPoint::Response]
                && first.on_failure == OnFailure::Closed && first.paths.len() == 1 && first.order == 0
                && second.on_failure == OnFailure::Open && second.paths.len() == 2 && second.order == -1));
        for (field, value) in [
            ("attach", json!([])),
            ("attach", json!(["on-start"])),
            ("attach", json!("on-request")),
            ("paths", json!([])),
            ("paths", json!(["api"])),
            ("order", json!(0.5)),
            ("on_failure", json!("ajar")),
            ("color", json!(1)),
        ] {
            let mut m = json!({ "function_id": "f", "attach": ["on-request"] });
            m[field] = value;
            let told =
                Desired::parse(&json!({ "$version": 1, "middleware": { "m": m } }), &Defaults::default());
            let told = told.map_or_else(|p| p.to_string(), |_| String::new());
            assert!(told.contains(&format!("middleware.m.{field}")), "{field}: {told}");
        }
        Ok(())
    }

    #[test]
    fn outputs_state_and_entrypoint_are_read_with_their_function() -> Result<(), Problems> {
        let function = |more: Value| {
            let mut f = json!({ "version": 1, "artifact_url": "f.wasm", "sha256": sha() });
            for (key, value) in more.as_object().into_iter().flatten() {
                f[key] = value.clone();
            }
            Desired::parse(&json!({ "$version": 1, "functions": { "f": f } }), &Defaults::default())
        };
        let desired = function(json!({ "outputs": { "alarm": "fn_alarm" }, "state": "transient",
                                       "entrypoint": "actor" }))?;
        assert!(desired.functions.values().all(|f| f.state == StatePolicy::Transient
            && f.entrypoint == Entrypoint::Actor
            && f.outputs.get("alarm").is_some_and(|to| to.as_str() == "fn_alarm")));
        for (field, value) in [
            ("outputs", json!({ "self": "fn_alarm" })),
            ("outputs", json!({ "a b": "fn_alarm" })),
            ("outputs", json!({ "alarm": "Fn" })),
            ("outputs", json!({ "alarm": 7 })),
            ("state", json!("global")),
            ("entrypoint", json!("nowhere")),
        ] {
            let mut more = json!({});
            more[field] = value.clone();
            let told = function(more).map_or_else(|p| p.to_string(), |_| String::new());
            assert!(told.contains(&format!("functions.f.{field}")), "{field} {value}: {told}");
        }
        Ok(())
    }
}
