//! Which desired state stands: the last twin document, above it what came on the contract's own topics since, and below
//! both what was asked for on the device itself.
//!
//! A newer twin document replaces the layer above it. A deployment message changes one function of that layer, a route
//! message its whole route list. All layers are kept as JSON, so that a device whose defaults change reads them anew;
//! nothing here does I/O.

mod floors;
mod vouched;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::floors::Floors;
use self::vouched::allows_downgrade;
use super::local::{Ask, AskError, Bundle, Local, Origin};
use super::problems::Object;
use super::{
    ALLOW_DOWNGRADE, Defaults, Desired, FunctionId, FunctionSpec, Problems, RouteId, RouteSpec, Trust,
};

/// All layers, as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The twin document, whole, `$version` included; patches are merged into it.
    twin: Option<Value>,
    /// Deployment messages since, by function id.
    functions: Map<String, Value>,
    /// The last route message since: its list.
    routes: Option<Value>,
    /// What was asked for on the device.
    #[serde(default)]
    local: Local,
    /// The highest versions that came signed, of functions that are away as well.
    #[serde(default)]
    floors: Floors,
    /// Whether what the hub had said before was lost; it counts until the hub says a whole document again.
    #[serde(default)]
    lost: bool,
}

/// What a message that was understood asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// This is to be stored, then carried out.
    Next(Box<Accepted>, Box<Desired>),
    /// It is to be told what would become of this; nothing is stored, and nothing changes.
    DryRun(Box<Desired>),
    /// It says what already stands.
    None,
}

/// Why a message changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not valid; says everything that is wrong.
    #[error("{0}")]
    Invalid(#[from] Problems),
    /// An older `$version` than the one that stands.
    #[error("$version {got} is older than {have}, which stands; ignored")]
    Stale {
        /// The version that stands.
        have: u64,
        /// The version that came.
        got: u64,
    },
    /// The same `$version` as the one that stands, with other contents.
    #[error("$version {0} stands already with other contents; a change needs a new version")]
    Conflict(u64),
    /// A patch that does not follow the version that stands.
    #[error("patch {got} does not follow version {have}, which stands; the whole document is needed")]
    Gap {
        /// The version that stands; 0 for none.
        have: u64,
        /// The patch's version.
        got: u64,
    },
    /// Functions of an older version than one that was accepted; names each.
    #[error("{0}")]
    Downgrade(Problems),
}

impl Refused {
    /// The code for `lastDesiredStatus`.
    pub fn code(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::Stale { .. } | Self::Conflict(_) | Self::Gap { .. } | Self::Downgrade(_) => 409,
        }
    }
}

impl Accepted {
    /// What all layers mean together. A function of the hub's whose signature does not hold (any more) is left out and
    /// named: it must not keep the others from being carried out.
    pub fn desired(&self, defaults: &Defaults) -> Result<Desired, Problems> {
        let unsigned = Defaults { trust: Trust::default(), ..defaults.clone() };
        let mut desired = match &self.twin {
            Some(document) => Desired::parse(document, &unsigned)?,
            None => Desired::default(),
        };
        desired.origins = desired.functions.keys().map(|id| (id.clone(), Origin::Twin)).collect();
        let mut problems = Problems::default();
        for (id, value) in &self.functions {
            if let Some((id, spec)) = read_deployment(value, &unsigned, &mut problems) {
                desired.origins.insert(id.clone(), Origin::Deployment);
                desired.functions.insert(id, spec);
            } else {
                problems.add(id, "the stored deployment message no longer reads");
            }
        }
        if let Some(routes) = &self.routes {
            desired.routes = read_routes(routes, &mut problems).unwrap_or_default();
            desired.routes_by_message = true;
        }
        self.leave_out_untrusted(&mut desired, &defaults.trust);
        self.local.add_to(&mut desired, defaults);
        desired.trust = defaults.trust.clone();
        desired.hub_unread = self.lost;
        desired.source = Arc::new(self.clone());
        problems.or(Some(desired))
    }

    /// Whether it is such.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// What is left where what was stored can not be read any more, and something of it serves.
    pub fn lost() -> Self {
        Self { lost: true, ..Self::default() }
    }

    /// Takes a whole twin document.
    pub fn document(&self, document: Value, defaults: &Defaults) -> Result<Change, Refused> {
        let desired = Desired::parse(&document, defaults)?;
        let (have, got) = (self.version(), desired.version);
        if got < have {
            return Err(Refused::Stale { have, got });
        }
        if got == have {
            let same = self.twin.as_ref() == Some(&document);
            return if same { Ok(Change::None) } else { Err(Refused::Conflict(got)) };
        }
        if !allows_downgrade(&document) {
            self.refuse_downgrade(&desired.functions, |id| format!("functions.{id}.version"))?;
        }
        let dry_run = is_dry_run(&document);
        let floors = self.floors.clone();
        let next = Self { twin: Some(document), local: self.local.clone(), floors, ..Self::default() };
        if dry_run {
            return Ok(Change::DryRun(Box::new(next.desired(defaults)?)));
        }
        next.accept(defaults)
    }

    /// Takes a merge patch (RFC 7396) with the `$version` that it leads to. Like a whole document, the new version
    /// replaces the layer above.
    pub fn patch(&self, patch: &Value, defaults: &Defaults) -> Result<Change, Refused> {
        let mut problems = Problems::default();
        let got = Object::of("", patch, &mut problems)
            .and_then(|mut root| root.number("$version", 1..=u64::MAX, None, &mut problems));
        let got: u64 = problems.or(got)?;
        let have = self.version();
        match &self.twin {
            Some(_) if got < have => Err(Refused::Stale { have, got }),
            Some(document) if got == have || have.checked_add(1) == Some(got) => {
                let mut document = document.clone();
                merge(&mut document, patch);
                self.document(document, defaults)
            }
            _ => Err(Refused::Gap { have, got }),
        }
    }

    /// Takes a message of `edge/deployments/{node_id}`: one function, which alone changes.
    pub fn deployment(&self, message: Value, defaults: &Defaults) -> Result<Change, Refused> {
        let mut problems = Problems::default();
        let read = read_deployment(&message, defaults, &mut problems);
        let (id, spec) = problems.or(read)?;
        if !allows_downgrade(&message) {
            self.refuse_downgrade(&[(id.clone(), spec)].into(), |_| "version".to_owned())?;
        }
        let mut next = self.clone();
        next.functions.insert(id.as_str().to_owned(), message);
        self.change_to(next, defaults)
    }

    /// Takes a message of `edge/routes/{node_id}`: the whole route list.
    pub fn route_list(&self, message: Value, defaults: &Defaults) -> Result<Change, Refused> {
        let mut problems = Problems::default();
        let routes = read_routes(&message, &mut problems);
        problems.or(routes)?;
        let next = Self { routes: Some(message), ..self.clone() };
        self.change_to(next, defaults)
    }

    /// Takes what is asked for on the device.
    pub fn ask(&self, ask: Ask, defaults: &Defaults) -> Result<(Box<Self>, Box<Desired>), AskError> {
        let above = self.desired(defaults).unwrap_or_else(|_| self.desired_here(defaults));
        let next = Self { local: self.local.with(ask, &above, defaults)?, ..self.clone() };
        let desired = next.desired(defaults).unwrap_or_else(|_| next.desired_here(defaults));
        Ok((Box::new(next), Box::new(desired)))
    }

    /// What was asked for on the device alone; that is what is left where what the hub wanted no longer fits the
    /// device's configuration.
    pub fn desired_here(&self, defaults: &Defaults) -> Desired {
        let (source, trust) = (Arc::new(self.clone()), defaults.trust.clone());
        let mut desired = Desired { source, trust, hub_unread: true, ..Desired::default() };
        self.local.add_to(&mut desired, defaults);
        desired
    }

    /// The JSON of a function, from the layer that counts.
    pub fn function(&self, id: &FunctionId, origin: Origin) -> Option<&Value> {
        match origin {
            Origin::Twin => self.twin_part("functions")?.get(id.as_str()),
            Origin::Deployment => self.functions.get(id.as_str()),
            Origin::Api => self.local.kept(id),
        }
    }

    /// One of the objects of the twin document.
    pub fn twin_part(&self, key: &str) -> Option<&Value> {
        self.twin.as_ref()?.get(key)
    }

    /// The last route message since the twin document.
    pub fn route_message(&self) -> Option<&Value> {
        self.routes.as_ref()
    }

    /// What is kept of a function that was asked for on the device.
    pub fn kept(&self, id: &FunctionId) -> Option<&Value> {
        self.local.kept(id)
    }

    /// A function that was asked for on the device, with all that came with it.
    pub fn bundle(&self, id: &FunctionId) -> Option<Bundle> {
        self.local.bundle(id)
    }

    fn change_to(&self, next: Self, defaults: &Defaults) -> Result<Change, Refused> {
        if next == *self {
            return Ok(Change::None);
        }
        next.accept(defaults)
    }

    /// The `$version` of the twin document that stands; 0 for none.
    pub fn version(&self) -> u64 {
        self.twin.as_ref().and_then(|document| document.get("$version")).and_then(Value::as_u64).unwrap_or(0)
    }
}

pub(super) fn read_deployment(
    message: &Value,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<(FunctionId, FunctionSpec)> {
    let mut fields = Object::of("", message, problems)?;
    let id = fields.parsed("function_id", problems);
    let spec = FunctionSpec::read_signed(id.as_ref(), &mut fields, defaults, problems);
    fields.flag(ALLOW_DOWNGRADE, problems);
    fields.end(problems);
    Some((id?, spec?))
}

pub(super) fn read_routes(message: &Value, problems: &mut Problems) -> Option<BTreeMap<RouteId, RouteSpec>> {
    let mut root = Object::of("", message, problems)?;
    let list = root.required("routes", problems);
    root.end(problems);
    let Some(list) = list?.as_array() else {
        problems.add("routes", "a list is wanted");
        return None;
    };
    let mut routes = BTreeMap::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("routes[{index}]");
        let Some(mut fields) = Object::of(&path, value, problems) else { continue };
        let id: Option<RouteId> = fields.parsed("id", problems);
        let route = RouteSpec::read_fields(&mut fields, problems);
        fields.end(problems);
        if let (Some(id), Some(route)) = (id, route)
            && routes.insert(id, route).is_some()
        {
            problems.add(&format!("{path}.id"), "stands twice in the list");
        }
    }
    Some(routes)
}

/// Whether a twin document or a patch asks only what would become of it.
pub fn is_dry_run(document: &Value) -> bool {
    document.get("dryRun") == Some(&Value::Bool(true))
}

/// Merges a patch into a document as RFC 7396 says.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
