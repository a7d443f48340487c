//! A module author's way onto the device: a component, its routes, and it runs. Its inverse.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::super::super::Service;
use super::super::super::answer::{Answer, Failure};
use super::super::Call;
use super::super::call;
use super::super::functions::PutError;
use crate::desired::{Ask, AskError, Bundle, FunctionId};

/// The parameters that the query may have.
const PARAMETERS: &[&str] = &[
    "route",
    "method",
    "memory_pages",
    "max_execution_ms",
    "http",
    "header",
    "telemetry",
    "config",
    "entrypoint",
];

/// `PUT /twinlet/functions/{id}`: the body is the component; the query says the rest. Puts it in the place of one that
/// was asked for on the device before.
pub(in crate::http::api) fn deploy(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let began = Instant::now();
    let id = named(call)?;
    let mut function = settings(call)?;
    if !call.body.starts_with(b"\0asm") {
        return Err(Failure::Invalid(
            "the body is not a WebAssembly component: it does not begin as one".into(),
        ));
    }
    let body = std::mem::take(&mut call.body);
    let sha256 = service.keep_component(&body).map_err(|error| {
        log::warn!("management API: keeping a component: {error}");
        Failure::Busy("the component could not be kept on the disk")
    })?;
    function.insert("artifact_url".into(), format!("upload://{sha256}").into());
    function.insert("sha256".into(), sha256.to_string().into());
    function.insert("size".into(), body.len().into());
    drop(body);
    let routes = routes(&id, &call.parameters("route"), &call.parameters("method"));
    let paths: Vec<Value> = routes.values().filter_map(|route| route.get("path").cloned()).collect();
    let bundle =
        Bundle { id: id.clone(), function, routes, middleware: Map::new(), module: None, replace: true };
    match service.put(bundle) {
        Ok(version) => {
            let ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let body = json!({ "id": id.as_str(), "version": version, "sha256": sha256.to_string(),
                               "routes": paths, "ready_ms": ready_ms });
            Ok(call::json(200, &body))
        }
        Err(PutError::Refused(refused)) => Err(failure(refused)),
        Err(PutError::Failed { why, retry: true }) => Err(Failure::NotReady(why)),
        Err(PutError::Failed { why, retry: false }) => {
            Err(Failure::Invalid(format!("the component can not run here: {why}")))
        }
    }
}

/// `DELETE /twinlet/functions/{id}`: takes away what was asked for on the device.
pub(in crate::http::api) fn remove(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let id = named(call)?;
    service.api.desk.ask(Ask::Remove(id.clone())).map_err(failure)?;
    Ok(call::json(200, &json!({ "id": id.as_str() })))
}

fn named(call: &Call) -> Result<FunctionId, Failure> {
    let name = call.name.as_deref().unwrap_or_default();
    name.parse().map_err(|error| Failure::Invalid(format!("id: {error}")))
}

/// What the query says of the function itself, as in desired state; that is where its values are checked.
fn settings(call: &Call) -> Result<Map<String, Value>, Failure> {
    if let Some(unknown) = call.parameter_names().find(|name| !PARAMETERS.contains(name)) {
        let unknown: String = unknown.chars().take(80).flat_map(char::escape_debug).collect();
        return Err(Failure::Invalid(format!("{unknown}: is not a parameter that is known here")));
    }
    let mut function = Map::new();
    for name in ["memory_pages", "max_execution_ms"] {
        if let Some(text) = call.parameter(name) {
            let number: u64 =
                text.parse().map_err(|_| Failure::Invalid(format!("{name}: a whole number is wanted")))?;
            function.insert(name.into(), number.into());
        }
    }
    if let Some(entrypoint) = call.parameter("entrypoint") {
        function.insert("entrypoint".into(), entrypoint.into());
    }
    if let Some(text) = call.parameter("config") {
        let config: Value =
            serde_json::from_str(&text).map_err(|e| Failure::Invalid(format!("config: not JSON: {e}")))?;
        function.insert("config".into(), config);
    }
    let telemetry = match call.parameter("telemetry").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::Invalid("telemetry: true or false is wanted".into())),
    };
    function.insert("permissions".into(), json!({ "http": call.parameters("http"), "headers": call.parameters("header"), "telemetry": telemetry }));
    Ok(function)
}

/// A route for each path; the first has the function's own id.
fn routes(id: &FunctionId, paths: &[String], methods: &[String]) -> Map<String, Value> {
    let route = |(index, path): (usize, &String)| {
        let name = if index == 0 { id.to_string() } else { format!("{id}-{}", index + 1) };
        (name, json!({ "path": path, "function_id": id.as_str(), "methods": methods }))
    };
    paths.iter().enumerate().map(route).collect()
}

/// What was refused, as an answer.
fn failure(refused: AskError) -> Failure {
    match refused {
        AskError::Invalid(problems) => Failure::Invalid(problems.to_string()),
        AskError::Unknown(_) => Failure::UnknownFunction,
        AskError::Exists(..) | AskError::OfTheHub(..) => Failure::Conflict(refused.to_string()),
        AskError::TooMany | AskError::Disk(_) | AskError::Stopping => Failure::NotReady(refused.to_string()),
    }
}
