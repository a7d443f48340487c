//! What was asked for on the device itself, by the management API: the layer below the hub's. The hub wins wherever
//! both use the same id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::problems::Problems;
use super::{
    Defaults, Desired, FunctionId, FunctionSpec, MiddlewareId, MiddlewareSpec, RouteId, RouteSpec, Sha256,
};

/// Functions that may be asked for on the device.
const MAX_FUNCTIONS: usize = 256;

/// Who asked for a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The twin document.
    Twin,
    /// A message of `edge/deployments/{node_id}`.
    Deployment,
    /// The management API of this device.
    Api,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twin => "twin",
            Self::Deployment => "deployment",
            Self::Api => "api",
        })
    }
}

/// A change that is asked for on the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A function with all that belongs to it.
    Put(Box<Bundle>),
    /// A function goes, with all that came with it.
    Remove(FunctionId),
    /// What was put goes again, if it is still what was put; what stands above it does not matter.
    TakeBack {
        /// The function's id.
        id: FunctionId,
        /// What was kept of it, as [`Done::kept`] said.
        kept: Value,
        /// What comes in its place.
        before: Option<Box<Bundle>>,
    },
}

/// A function, its routes and its middleware, as JSON of desired state.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The function's id.
    pub id: FunctionId,
    /// Its fields, all but `version`, which counts up by itself.
    pub function: Map<String, Value>,
    /// Routes by id; each must name the function.
    pub routes: Map<String, Value>,
    /// Middleware by id; each must name the function.
    pub middleware: Map<String, Value>,
    /// Where it came by `POST /wasm`: its module's id, and what is told of it.
    pub module: Option<(String, Module)>,
    /// Whether it may take the place of one that was asked for on the device before; its routes and middleware take
    /// the place of that one's.
    pub replace: bool,
}

/// What sgl-router's API tells of a module, beside what is known of its function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The function that it became; the module's name.
    pub function_id: String,
    /// The file it was read from.
    pub file_path: String,
    /// Where it is attached: `OnRequest`, `OnResponse`, `OnError`.
    pub attach_points: Vec<String>,
    /// Its digest, as 64 hex digits.
    pub sha256: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was added, in seconds since 1970 by the device's clock.
    pub created_at: u64,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Done {
    /// What is desired with it.
    pub desired: Arc<Desired>,
    /// What it replaced, as it would be put there again.
    pub before: Option<Box<Bundle>>,
    /// The function that was put, as it is kept.
    pub kept: Option<Value>,
}

/// Why a change is not made; nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not valid; says everything that is wrong.
    #[error("{0}")]
    Invalid(#[from] Problems),
    /// A function of this id is there already.
    #[error("function `{0}` exists already, by the {1}")]
    Exists(FunctionId, Origin),
    /// No function of this id is there.
    #[error("function `{0}` is unknown")]
    Unknown(FunctionId),
    /// It is the hub's, which alone can change it.
    #[error("function `{0}` belongs to the hub's desired state (origin {1}) and can be changed there alone")]
    OfTheHub(FunctionId, Origin),
    /// There are too many.
    #[error("at most {MAX_FUNCTIONS} functions can be asked for on the device")]
    TooMany,
    /// It could not be made durable.
    #[error("not kept on the disk, so not acted on: {0}")]
    Disk(String),
    /// The agent is about to end.
    #[error("the agent is stopping")]
    Stopping,
}

/// The layer, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Local {
    functions: Map<String, Value>,
    routes: Map<String, Value>,
    middleware: Map<String, Value>,
    modules: BTreeMap<String, Module>,
}

impl Local {
    /// The layer with a change made to it; `above` is what stands now, all layers together.
    pub(super) fn with(&self, ask: Ask, above: &Desired, defaults: &Defaults) -> Result<Self, AskError> {
        let id = match &ask {
            Ask::Put(bundle) => &bundle.id,
            Ask::Remove(id) | Ask::TakeBack { id, .. } => id,
        };
        let origin = above.origins.get(id).copied();
        let mut next = self.clone();
        match (ask, origin) {
            (Ask::Put(bundle), Some(origin)) if !bundle.replace => Err(AskError::Exists(bundle.id, origin)),
            (Ask::Put(bundle), Some(origin)) if origin != Origin::Api => {
                Err(AskError::OfTheHub(bundle.id, origin))
            }
            (Ask::Put(bundle), _) => {
                next.put(*bundle, above, defaults)?;
                Ok(next)
            }
            (Ask::Remove(id), None) if !self.functions.contains_key(id.as_str()) => {
                Err(AskError::Unknown(id))
            }
            (Ask::Remove(id), None | Some(Origin::Api)) => {
                next.drop_all_of(&id);
                Ok(next)
            }
            (Ask::Remove(id), Some(origin)) => Err(AskError::OfTheHub(id, origin)),
            (Ask::TakeBack { id, kept, .. }, _) if self.functions.get(id.as_str()) != Some(&kept) => {
                Err(AskError::Unknown(id))
            }
            (Ask::TakeBack { id, before, .. }, _) => {
                if let Some(before) = before {
                    next.put(*before, above, defaults)?;
                } else {
                    next.drop_all_of(&id);
                }
                Ok(next)
            }
        }
    }

    fn put(&mut self, bundle: Bundle, above: &Desired, defaults: &Defaults) -> Result<(), AskError> {
        let Bundle { id, mut function, routes, middleware, module, .. } = bundle;
        let before = self.functions.get(id.as_str()).and_then(|f| f.get("version")?.as_u64()).unwrap_or(0);
        // What this function had itself may come again.
        let own = self.bundle(&id);
        let taken = |key: &str, there: bool, of: fn(&Bundle) -> &Map<String, Value>| {
            there && !own.as_ref().is_some_and(|own| of(own).contains_key(key))
        };
        self.drop_all_of(&id);
        function.insert("version".into(), before.saturating_add(1).into());
        let function = Value::Object(function);
        let mut problems = Problems::default();
        FunctionSpec::read("", &function, defaults, &mut problems);
        for (route, value) in &routes {
            let path = format!("routes.{route}");
            let read = RouteSpec::read(&path, value, &mut problems);
            if read.is_some_and(|route| route.function_id != id) {
                problems.add(&path, "is not to this function");
            }
            let id_of_route = route.parse::<RouteId>();
            if let Err(error) = &id_of_route {
                problems.add(&path, error);
            }
            let there = id_of_route.is_ok_and(|route| above.routes.contains_key(&route));
            if taken(route, there || self.routes.contains_key(route), |own| &own.routes) {
                problems.add(&path, "is the id of another route already");
            }
        }
        for (attached, value) in &middleware {
            let path = format!("middleware.{attached}");
            let read = MiddlewareSpec::read(&path, value, &mut problems);
            if read.is_some_and(|spec| spec.function_id != id) {
                problems.add(&path, "does not attach this function");
            }
            let id_of_middleware = attached.parse::<MiddlewareId>();
            if let Err(error) = &id_of_middleware {
                problems.add(&path, error);
            }
            let there = id_of_middleware.is_ok_and(|id| above.middleware.contains_key(&id));
            if taken(attached, there || self.middleware.contains_key(attached), |own| &own.middleware) {
                problems.add(&path, "is the id of other middleware already");
            }
        }
        problems.or(Some(()))?;
        if self.functions.len() >= MAX_FUNCTIONS {
            return Err(AskError::TooMany);
        }
        self.functions.insert(id.as_str().to_owned(), function);
        self.routes.extend(routes);
        self.middleware.extend(middleware);
        self.modules.extend(module);
        Ok(())
    }

    /// What is kept of a function.
    pub(super) fn kept(&self, id: &FunctionId) -> Option<&Value> {
        self.functions.get(id.as_str())
    }

    /// The components of this layer; those that the hub's cover may be wanted again.
    fn components(&self) -> impl Iterator<Item = Sha256> {
        self.functions.values().filter_map(|f| f.get("sha256")?.as_str()?.parse().ok())
    }

    /// A function of this layer with all that came with it.
    pub(super) fn bundle(&self, id: &FunctionId) -> Option<Bundle> {
        let mut function = self.functions.get(id.as_str())?.as_object()?.clone();
        function.remove("version");
        let is_of = |value: &Value| value.get("function_id").and_then(Value::as_str) == Some(id.as_str());
        let of = |all: &Map<String, Value>| {
            all.iter()
                .filter(|(_, value)| is_of(value))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let module = self.modules.iter().find(|(_, module)| module.function_id == id.as_str());
        Some(Bundle {
            id: id.clone(),
            function,
            routes: of(&self.routes),
            middleware: of(&self.middleware),
            module: module.map(|(uuid, module)| (uuid.clone(), module.clone())),
            replace: true,
        })
    }

    fn drop_all_of(&mut self, id: &FunctionId) {
        let others = |value: &Value| value.get("function_id").and_then(Value::as_str) != Some(id.as_str());
        self.functions.remove(id.as_str());
        self.routes.retain(|_, value| others(value));
        self.middleware.retain(|_, value| others(value));
        self.modules.retain(|_, module| module.function_id != id.as_str());
    }

    /// Adds to the hub's desired state what it does not name itself. What no longer fits this device's configuration
    /// is left out, and named: it must not keep the hub's own from being carried out.
    pub(super) fn add_to(&self, desired: &mut Desired, defaults: &Defaults) {
        desired.kept.extend(self.components());
        for (name, value) in &self.functions {
            let Ok(id) = name.parse::<FunctionId>() else { continue };
            // What the hub wants covers it also where the hub's is not trusted.
            if desired.functions.contains_key(&id) || desired.misfits.contains_key(&id) {
                continue;
            }
            let mut problems = Problems::default();
            let spec = FunctionSpec::read("", value, defaults, &mut problems);
            match problems.or(spec) {
                Ok(spec) => {
                    desired.origins.insert(id.clone(), Origin::Api);
                    desired.functions.insert(id, spec);
                }
                Err(problems) => drop(desired.misfits.insert(id, problems.to_string())),
            }
        }
        let ours =
            |id: &FunctionId, origins: &BTreeMap<FunctionId, Origin>| origins.get(id) == Some(&Origin::Api);
        let mut unread = Problems::default();
        for (name, value) in &self.routes {
            if let (Ok(id), Some(route)) = (name.parse(), RouteSpec::read("", value, &mut unread))
                && ours(&route.function_id, &desired.origins)
                && !desired.routes.contains_key(&id)
            {
                desired.of_device.routes.insert(RouteId::clone(&id));
                desired.routes.insert(id, route);
            }
        }
        for (name, value) in &self.middleware {
            if let (Ok(id), Some(spec)) = (name.parse(), MiddlewareSpec::read("", value, &mut unread))
                && ours(&spec.function_id, &desired.origins)
                && !desired.middleware.contains_key(&id)
            {
                desired.of_device.middleware.insert(MiddlewareId::clone(&id));
                desired.middleware.insert(id, spec);
            }
        }
        desired.modules.extend(self.modules.clone());
    }
}

#[cfg(test)]
mod tests;
