//! What serves and how it got there, in the form in which it is kept on the disk: what a restart begins with, what a
//! rollback goes back to, and what was refused. Functions are kept as the JSON that they were read from. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accepted::{read_deployment, read_routes};
use super::problems::{Object, Problems};
use super::{
    Defaults, Desired, FunctionId, FunctionSpec, MiddlewareId, MiddlewareSpec, Origin, RouteId, RouteSpec,
    Sha256, Trust,
};

/// What takes the place of what served before in one step, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// All that the twin document changes.
    Twin,
    /// One function, by a deployment message or asked for on the device.
    One(FunctionId),
}

/// All that is kept of rollouts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// The version of the agent that wrote it; another one may run what this one refused.
    pub agent: String,
    /// What serves.
    pub standing: Standing,
    /// What is on trial, and what it replaced.
    pub trials: Vec<OnTrial>,
    /// What is not tried again.
    pub refused: Refusals,
}

/// Something that serves and has not proved itself yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnTrial {
    /// What took its place together.
    pub unit: Unit,
    /// Which of the trials of this unit it is; later ones have higher numbers.
    pub number: u64,
    /// The functions that are new or changed.
    pub functions: BTreeSet<FunctionId>,
    /// What served before.
    pub before: Standing,
}

/// What is not tried again until the hub asks for something else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusals {
    /// A version of the twin document, and why.
    pub twin: Option<(u64, String)>,
    /// Functions that came alone.
    pub functions: BTreeMap<FunctionId, Refused>,
}

/// A function that is not tried again as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// As what it was wanted.
    pub source: Value,
    /// Why it does not serve.
    pub why: String,
}

/// What serves, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The twin document's `$version`; 0 for none.
    pub version: u64,
    routes: Value,
    middleware: Value,
    route_message: Option<Value>,
    functions: BTreeMap<FunctionId, Placed>,
}

/// A function that serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Placed {
    origin: Origin,
    source: Value,
}

/// The same, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stood {
    /// The twin document's `$version`; 0 for none.
    pub version: u64,
    /// The hub's routes.
    pub routes: BTreeMap<RouteId, RouteSpec>,
    /// The hub's middleware.
    pub middleware: BTreeMap<MiddlewareId, MiddlewareSpec>,
    /// The functions, whoever asked for them.
    pub functions: BTreeMap<FunctionId, FunctionSpec>,
}

impl Rollout {
    /// Whether there is nothing in it to begin with.
    pub fn is_bare(&self) -> bool {
        self.standing.is_empty() && self.trials.is_empty() && self.refused == Refusals::default()
    }

    /// Whether a function may have to serve again that does not now: what it kept is not to be forgotten.
    pub fn may_come_back(&self, id: &FunctionId) -> bool {
        self.standing.has(id) || self.trials.iter().any(|trial| trial.before.has(id))
    }
}

impl Standing {
    /// Notes that what the hub wants beside functions is in force.
    pub fn follow_hub(&mut self, wanted: &Desired) {
        let part = |key| wanted.source.twin_part(key).cloned().unwrap_or_default();
        self.version = wanted.version;
        (self.routes, self.middleware) = (part("routes"), part("middleware"));
        self.follow_message(wanted);
    }

    /// Notes the route message that is in force.
    pub fn follow_message(&mut self, wanted: &Desired) {
        self.route_message = wanted.source.route_message().cloned();
    }

    /// Notes that a function serves as it is wanted.
    pub fn put(&mut self, id: &FunctionId, wanted: &Desired) {
        let origin = wanted.origins.get(id).copied().unwrap_or(Origin::Twin);
        if let Some(source) = wanted.source.function(id, origin) {
            self.functions.insert(id.clone(), Placed { origin, source: source.clone() });
        }
    }

    /// Whether a function serves exactly as it is wanted.
    pub fn is_as_wanted(&self, id: &FunctionId, wanted: &Desired) -> bool {
        let source = source_of(id, wanted);
        source.is_some() && self.functions.get(id).map(|placed| &placed.source) == source
    }

    /// Whether there is such a function.
    pub fn has(&self, id: &FunctionId) -> bool {
        self.functions.contains_key(id)
    }

    /// Whether nothing served.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Whether a function serves that was asked for on the device.
    pub fn is_of_device(&self, id: &FunctionId) -> bool {
        self.functions.get(id).is_some_and(|placed| placed.origin == Origin::Api)
    }

    /// Whether anything of the hub's is in force.
    pub fn has_hub(&self) -> bool {
        self.version > 0 || self.functions.values().any(|placed| placed.origin != Origin::Api)
    }

    /// Whether a function is the same here and there.
    pub fn is_same(&self, id: &FunctionId, other: &Self) -> bool {
        self.functions.get(id) == other.functions.get(id)
    }

    /// One function of it, and nothing else.
    pub fn only(&self, id: &FunctionId) -> Self {
        let functions = self.functions.get_key_value(id).into_iter();
        Self {
            functions: functions.map(|(id, placed)| (id.clone(), placed.clone())).collect(),
            ..Self::default()
        }
    }

    /// Forgets all functions but these.
    pub fn keep_only(&mut self, known: impl Fn(&FunctionId) -> bool) {
        self.functions.retain(|id, _| known(id));
    }

    /// Goes back to what another says of one unit: of a single function that one, else all that is the hub's, and what
    /// the twin document had covered of the device's own. What came alone since then stays.
    pub fn go_back(&mut self, unit: &Unit, before: &Self, wanted: &Desired) {
        self.functions.retain(|id, now| match unit {
            Unit::One(one) => id != one,
            Unit::Twin => now.origin != Origin::Twin,
        });
        for (id, placed) in &before.functions {
            let comes_back = match (unit, placed.origin) {
                (Unit::One(one), _) => id == one,
                // Unless it was taken back on the device meanwhile.
                (Unit::Twin, Origin::Api) => wanted.source.function(id, Origin::Api) == Some(&placed.source),
                (Unit::Twin, _) => true,
            };
            if comes_back && !self.has(id) {
                self.functions.insert(id.clone(), placed.clone());
            }
        }
        if *unit == Unit::Twin {
            self.version = before.version;
            self.routes.clone_from(&before.routes);
            self.middleware.clone_from(&before.middleware);
            self.route_message.clone_from(&before.route_message);
        }
    }

    /// The components that it takes.
    pub fn components(&self) -> impl Iterator<Item = Sha256> + use<'_> {
        self.functions.values().filter_map(|placed| placed.source.get("sha256")?.as_str()?.parse().ok())
    }

    /// Reads it as this device is configured now. What no longer fits is left out, and told.
    pub fn read(&self, defaults: &Defaults) -> (Stood, Problems) {
        let mut problems = Problems::default();
        let document = json!({ "$version": self.version.max(1), "routes": self.routes,
                               "middleware": self.middleware });
        let hub = Desired::parse(&document, defaults).unwrap_or_else(|error| {
            problems.add("routes", error);
            Desired::default()
        });
        let mut stood = Stood {
            version: self.version,
            routes: hub.routes,
            middleware: hub.middleware,
            functions: BTreeMap::new(),
        };
        if let Some(message) = &self.route_message
            && let Some(routes) = read_routes(message, &mut problems)
        {
            stood.routes = routes;
        }
        for (id, Placed { origin, source }) in &self.functions {
            let spec = match origin {
                Origin::Deployment => read_deployment(source, defaults, &mut problems).map(|(_, spec)| spec),
                Origin::Api => FunctionSpec::read(id.as_str(), source, defaults, &mut problems),
                Origin::Twin => Object::of(id.as_str(), source, &mut problems).and_then(|mut fields| {
                    FunctionSpec::read_signed(Some(id), &mut fields, defaults, &mut problems)
                }),
            };
            stood.functions.extend(spec.map(|spec| (id.clone(), spec)));
        }
        (stood, problems)
    }

    /// The functions of the hub's that nobody who is trusted has signed.
    pub fn untrusted(&self, trust: &Trust) -> Vec<FunctionId> {
        let is_trusted = |id: &FunctionId, source: &Value| {
            let version = source.get("version").and_then(Value::as_u64);
            let sha256 = source.get("sha256").and_then(|sha256| sha256.as_str()?.parse().ok());
            let signature = source.get("signature").and_then(|signature| signature.as_str()?.parse().ok());
            let (Some(version), Some(sha256)) = (version, sha256) else { return false };
            trust.check(id, version, &sha256, signature.as_ref()).is_ok()
        };
        let of_hub = self.functions.iter().filter(|(_, placed)| placed.origin != Origin::Api);
        of_hub.filter(|(id, placed)| !is_trusted(id, &placed.source)).map(|(id, _)| id.clone()).collect()
    }
}

impl Refusals {
    /// Why a function is not tried again as it is wanted, if it is not.
    pub fn why(&self, id: &FunctionId, wanted: &Desired) -> Option<&str> {
        if wanted.origins.get(id) == Some(&Origin::Twin) {
            return self.why_twin(wanted);
        }
        let refused = self.functions.get(id).filter(|refused| Some(&refused.source) == source_of(id, wanted));
        refused.map(|refused| refused.why.as_str())
    }

    /// Why the twin document is not tried again, if it is not.
    pub fn why_twin(&self, wanted: &Desired) -> Option<&str> {
        let (version, why) = self.twin.as_ref()?;
        (*version == wanted.version).then_some(why.as_str())
    }

    /// Does not try something again.
    pub fn add(&mut self, unit: &Unit, wanted: &Desired, why: &str) {
        match unit {
            Unit::Twin => self.twin = Some((wanted.version, why.to_owned())),
            Unit::One(id) => {
                if let Some(source) = source_of(id, wanted) {
                    let refused = Refused { source: source.clone(), why: why.to_owned() };
                    self.functions.insert(id.clone(), refused);
                }
            }
        }
    }

    /// Forgets what is no longer wanted so.
    pub fn keep_only_wanted(&mut self, wanted: &Desired) {
        self.twin.take_if(|(version, _)| *version != wanted.version);
        self.functions.retain(|id, refused| Some(&refused.source) == source_of(id, wanted));
    }
}

/// The JSON that a wanted function was read from.
fn source_of<'a>(id: &FunctionId, wanted: &'a Desired) -> Option<&'a Value> {
    wanted.source.function(id, wanted.origins.get(id).copied()?)
}
