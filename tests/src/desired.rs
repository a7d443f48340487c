//! Desired state as an operator writes it; knows nothing of how it travels.

use serde_json::{Map, Value, json};

use crate::artifacts::Artifact;

/// One function of a desired state. Starts with generous limits, which a test narrows.
#[derive(Debug, Clone)]
pub struct Function {
    id: String,
    fields: Value,
}

impl Function {
    /// Version 1 of a function made from an artifact.
    pub fn of(id: &str, artifact: &Artifact) -> Self {
        let fields = json!({
            "version": 1, "artifact_url": artifact.url, "sha256": artifact.sha256,
            "entrypoint": "main", "memory_pages": 256, "max_execution_ms": 5000,
        });
        Self { id: id.to_owned(), fields }
    }

    /// With these fields and no others.
    pub fn bare(id: &str, fields: Value) -> Self {
        Self { id: id.to_owned(), fields }
    }

    /// Another version number.
    pub fn version(self, version: u64) -> Self {
        self.set("version", version)
    }

    /// Sets or replaces any field.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields[key] = value.into();
        self
    }

    /// The same as the contract's deployment notification.
    pub fn notification(&self) -> Value {
        let mut flat = self.fields.clone();
        flat["function_id"] = self.id.clone().into();
        flat
    }
}

/// A whole desired state.
#[derive(Debug, Clone)]
pub struct Desired(Value);

impl Desired {
    /// An empty one of this `$version`.
    pub fn version(version: u64) -> Self {
        Self(json!({ "$version": version, "functions": {}, "routes": {} }))
    }

    /// With a function.
    pub fn function(mut self, function: Function) -> Self {
        self.0["functions"][&function.id] = function.fields;
        self
    }

    /// With a route for every method. The route is named after the function and its place in the list.
    pub fn route(mut self, path: &str, function: &str) -> Self {
        let id = format!("r{}", self.0["routes"].as_object().map_or(0, Map::len));
        self.0["routes"][id] = json!({ "path": path, "function_id": function });
        self
    }

    /// With a route of exactly these fields.
    pub fn route_of(mut self, id: &str, fields: Value) -> Self {
        self.0["routes"][id] = fields;
        self
    }

    /// With any top-level key.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0[key] = value.into();
        self
    }

    /// A function and a route `/{id}` to it.
    pub fn serving(self, function: Function) -> Self {
        let id = function.id.clone();
        self.function(function).route(&format!("/{id}"), &id)
    }
}

impl From<Desired> for Value {
    fn from(desired: Desired) -> Self {
        desired.0
    }
}

/// The contract's route list with one route for every method.
pub fn route_list(path: &str, function: &str) -> Value {
    json!({ "routes": [{
        "id": "r1", "host": "*", "path": path, "function_id": function,
        "methods": ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"], "priority": 0,
    }]})
}
