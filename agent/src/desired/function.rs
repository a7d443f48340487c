//! One function of desired state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use twinlet_host::http_client::Pattern;

use super::artifact_url::wrong_url;
use super::problems::{Object, Problems};
use super::{FunctionId, Health, Sha256, Trial, Trust};

/// What holds where a function does not say, and the most it may ask for; from the device's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Instances per function.
    pub instances: Instances,
    /// The most linear memory a function may ask for, in pages of 64 KiB.
    pub max_memory_pages: u32,
    /// Whose signatures the hub's functions need.
    pub trust: Trust,
}

impl Default for Defaults {
    fn default() -> Self {
        let instances = Instances {
            min: 1,
            max: 10,
            idle_timeout: Duration::from_secs(300),
            isolation: Isolation::Reused,
        };
        Self { instances, max_memory_pages: 1_024, trust: Trust::default() }
    }
}

/// How many instances of a function there may be, and how they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instances {
    /// Kept hot even when idle.
    pub min: u32,
    /// At once, hot and working.
    pub max: u32,
    /// How long an instance above `min` may wait for work.
    pub idle_timeout: Duration,
    /// Whether an instance may serve a second event.
    pub isolation: Isolation,
}

/// Whether an instance may serve a second event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// An instance serves one event after another.
    Reused,
    /// Each event gets an instance of its own.
    Fresh,
}

/// What a function may do beside computing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// URLs it may call.
    pub http: Vec<Pattern>,
    /// Whether it may send telemetry.
    pub telemetry: bool,
    /// Which of [`WITHHELD`] it sees of a request.
    pub headers: Vec<&'static str>,
}

/// Headers by which a client is let in: a function does not see them unless it asks.
pub const WITHHELD: &[&str] = &["authorization", "cookie", "x-api-key"];

/// A function as the hub wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSpec {
    /// The hub's number for it; shown in reported state.
    pub version: u64,
    /// Where its component is to be had: `http://`, `https://`, `file://`, `s3://bucket/key`, `oci://registry/name:tag`,
    /// `upload://` where it was put on the device by the management API, or relative to `CP_URL`.
    pub artifact_url: String,
    /// The component's digest.
    pub sha256: Sha256,
    /// The component's size in bytes, if the hub says; a download of another size is refused.
    pub size: Option<u64>,
    /// Which export is used.
    pub entrypoint: Entrypoint,
    /// Linear memory of one instance, in pages of 64 KiB.
    pub memory_pages: u32,
    /// Wall time of one event, from when it was accepted; past it the caller gets 504.
    pub max_execution: Duration,
    /// How many instances, and how they are used.
    pub instances: Instances,
    /// Handed to the function as it is.
    pub config: Map<String, Value>,
    /// The functions that it may send messages to, by the names that it knows them by.
    pub outputs: BTreeMap<String, FunctionId>,
    /// How long its synced state lives, where it is an actor.
    pub state: StatePolicy,
    /// What it may do.
    pub permissions: Permissions,
    /// The request that it must answer before it serves.
    pub health: Option<Health>,
    /// How a new version proves itself.
    pub trial: Trial,
}

/// Which of a component's exports is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrypoint {
    /// All that it has. Its routes go to `http-handler`, else to `wasi:http`, else to the actor.
    Main,
    /// `twinlet:device/http-handler`
    HttpHandler,
    /// `wasi:http/incoming-handler`
    WasiHttp,
    /// `twinlet:device/actor`
    Actor,
    /// The three of middleware, as far as it has them.
    Middleware,
}

/// How long what an actor has synced lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatePolicy {
    /// In memory: over crashes and redeployments.
    Transient,
    /// On the disk: over restarts and power cuts as well.
    NodeLocal,
}

/// The names that `entrypoint` may have. Those of interfaces stand with and without their package and version.
const ENTRYPOINTS: &[(&str, Entrypoint)] = &[
    ("main", Entrypoint::Main),
    ("http-handler", Entrypoint::HttpHandler),
    ("twinlet:device/http-handler@0.1.0", Entrypoint::HttpHandler),
    ("incoming-handler", Entrypoint::WasiHttp),
    ("wasi:http/incoming-handler", Entrypoint::WasiHttp),
    ("actor", Entrypoint::Actor),
    ("twinlet:device/actor@0.1.0", Entrypoint::Actor),
    ("middleware", Entrypoint::Middleware),
];
/// Functions that one function may send to.
const MAX_OUTPUTS: usize = 64;

impl FunctionSpec {
    pub(super) fn read(
        path: &str,
        value: &Value,
        defaults: &Defaults,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut fields = Object::of(path, value, problems)?;
        let spec = Self::read_fields(&mut fields, defaults, problems);
        fields.end(problems);
        spec
    }

    /// Reads a function of the hub's, and says so where nobody trusted has signed it. `id` is none where it is wrong.
    pub(super) fn read_signed(
        id: Option<&FunctionId>,
        fields: &mut Object<'_>,
        defaults: &Defaults,
        problems: &mut Problems,
    ) -> Option<Self> {
        let given = fields.get("signature").is_some();
        let signature = if given { fields.parsed("signature", problems) } else { None };
        let spec = Self::read_fields(fields, defaults, problems)?;
        // One that is not even a signature is told already.
        if signature.is_some() == given {
            let checked = defaults.trust.check(id?, spec.version, &spec.sha256, signature.as_ref());
            checked.map_err(|why| problems.add(&fields.path("signature"), why)).ok()?;
        }
        Some(spec)
    }

    /// Reads the fields that a twin document and a deployment message share.
    pub(super) fn read_fields(
        fields: &mut Object<'_>,
        defaults: &Defaults,
        problems: &mut Problems,
    ) -> Option<Self> {
        let version = fields.number("version", 0..=u64::MAX, None, problems);
        let artifact_url = fields.required("artifact_url", problems);
        let artifact_url = artifact_url.and_then(|_| fields.text("artifact_url", problems));
        if let Some(why) = artifact_url.and_then(wrong_url) {
            problems.add(&fields.path("artifact_url"), why);
        }
        let sha256 = fields.parsed("sha256", problems);
        let size = fields.number("size", 1..=u64::MAX, Some(0), problems);
        let named = fields.text("entrypoint", problems).unwrap_or("main");
        let entrypoint =
            ENTRYPOINTS.iter().find(|(name, _)| *name == named).map(|(_, entrypoint)| *entrypoint);
        if entrypoint.is_none() {
            let what = "is none of `main`, `http-handler`, `incoming-handler`, `actor` and `middleware`";
            problems.add(&fields.path("entrypoint"), what);
        }
        let most = u64::from(defaults.max_memory_pages);
        let memory_pages =
            fields.number("memory_pages", 1..=most, Some(defaults.max_memory_pages.min(256)), problems);
        let max_execution = fields.number("max_execution_ms", 1..=3_600_000, Some(5_000), problems);
        let instances = match fields.object("instances", problems) {
            Some(object) => Instances::read(object, &defaults.instances, problems),
            None => Some(defaults.instances.clone()),
        };
        let config = fields.object("config", problems).map(|object| read_config(&object, problems));
        let permissions = match fields.object("permissions", problems) {
            Some(object) => Permissions::read(object, problems),
            None => Permissions::default(),
        };
        let outputs = fields.object("outputs", problems).map(|object| read_outputs(&object, problems));
        let state = match fields.text("state", problems) {
            None | Some("node-local") => StatePolicy::NodeLocal,
            Some("transient") => StatePolicy::Transient,
            Some(_) => {
                problems.add(&fields.path("state"), "is neither `node-local` nor `transient`");
                StatePolicy::NodeLocal
            }
        };
        let health = fields.object("health", problems).and_then(|object| Health::read(object, problems));
        let trial = match fields.object("trial", problems) {
            Some(object) => Trial::read(object, problems),
            None => Some(Trial::default()),
        };
        Some(Self {
            version: version?,
            artifact_url: artifact_url?.to_owned(),
            sha256: sha256?,
            size: size.filter(|size| *size > 0),
            entrypoint: entrypoint?,
            memory_pages: memory_pages?,
            max_execution: Duration::from_millis(max_execution?),
            instances: instances?,
            config: config.unwrap_or_default(),
            outputs: outputs.unwrap_or_default(),
            state,
            permissions,
            health,
            trial: trial?,
        })
    }
}

impl Instances {
    fn read(mut fields: Object<'_>, defaults: &Self, problems: &mut Problems) -> Option<Self> {
        let max = fields.number("max", 1..=4_096, Some(defaults.max), problems);
        let min =
            fields.number("min", 0..=4_096, Some(defaults.min.min(max.unwrap_or(defaults.min))), problems);
        let default_idle = defaults.idle_timeout.as_secs();
        let idle = fields.number("idle_timeout_secs", 1..=2_592_000, Some(default_idle), problems);
        let isolation = match fields.text("isolation", problems) {
            None => Some(defaults.isolation),
            Some("reused") => Some(Isolation::Reused),
            Some("fresh") => Some(Isolation::Fresh),
            Some(_) => {
                problems.add(&fields.path("isolation"), "is neither `reused` nor `fresh`");
                None
            }
        };
        if min > max {
            problems.add(&fields.path("min"), "is larger than `max`");
        }
        fields.end(problems);
        Some(Self { min: min?, max: max?, idle_timeout: Duration::from_secs(idle?), isolation: isolation? })
    }
}

impl Permissions {
    fn read(mut fields: Object<'_>, problems: &mut Problems) -> Self {
        let telemetry = fields.flag("telemetry", problems);
        let mut http = Vec::new();
        for text in fields.texts("http", problems) {
            match text.parse() {
                Ok(pattern) => http.push(pattern),
                Err(error) => problems.add(&fields.path("http"), error),
            }
        }
        let mut headers = Vec::new();
        for text in fields.texts("headers", problems) {
            match WITHHELD.iter().find(|name| **name == text) {
                Some(name) => headers.push(*name),
                None => {
                    let known = WITHHELD.join("`, `");
                    problems.add(
                        &fields.path("headers"),
                        format_args!("holds something that is none of `{known}`"),
                    );
                }
            }
        }
        fields.end(problems);
        Self { http, telemetry, headers }
    }
}

fn read_outputs(fields: &Object<'_>, problems: &mut Problems) -> BTreeMap<String, FunctionId> {
    let mut outputs = BTreeMap::new();
    for (name, value) in fields.entries() {
        let path = fields.path(name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name == "self" {
            problems.add(&path, "is reserved for the function itself");
        } else if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            problems.add(&path, "a name is 1 to 64 letters, digits, `_` and `-`");
        }
        match value.as_str().map(str::parse) {
            Some(Ok(id)) => drop(outputs.insert(name.clone(), id)),
            Some(Err(error)) => problems.add(&path, error),
            None => problems.add(&path, "the id of a function is wanted"),
        }
    }
    if outputs.len() > MAX_OUTPUTS {
        problems.add(&fields.path(""), format_args!("more than {MAX_OUTPUTS} names"));
    }
    outputs
}

/// Keys that an IoT hub's twin can not hold are refused on every carrier, so that a document moves between them.
fn read_config(fields: &Object<'_>, problems: &mut Problems) -> Map<String, Value> {
    let mut config = Map::new();
    for (key, value) in fields.entries() {
        if key.is_empty() || key.contains(['.', '$', ' ']) || key.chars().any(char::is_control) {
            problems.add(&fields.path(key), "a key has no `.`, `$`, space or control character");
        }
        config.insert(key.clone(), value.clone());
    }
    config
}
