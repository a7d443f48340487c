//! sgl-router's `/wasm`: middleware by the file it is in. A module becomes a function of the local layer, attached to
//! all paths, and is named by a UUID as well as by its function's id.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | adds and removes |
//! | `wanted` | the body of `POST /wasm` |
//! | `file` | a component's file, below the roots alone |
//! | `shown` | `GET /wasm` |

mod file;
mod shown;
mod wanted;

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::Service;
use super::super::answer::{Answer, Failure};
use super::Call;
use super::call::json;
use super::functions::OVERTAKEN;
use crate::board::unix_seconds;
use crate::desired::{Ask, AskError, Bundle, Desired, FunctionId, Module};
use crate::routes::percent_decoded;
pub(super) use shown::list;
use wanted::Wanted;

/// The time that all modules of a batch have together.
const BATCH_WITHIN: Duration = Duration::from_secs(165);
/// sgl-router's limits for a module: 64 MiB and one second.
const MEMORY_PAGES: u32 = 1_024;
const MAX_EXECUTION_MS: u64 = 1_000;
/// The order of the first module: behind what the hub usually attaches.
const FIRST_ORDER: i32 = 1_000;

/// `POST /wasm`: adds modules one after the other, and says of each what became of it.
pub(super) fn add(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let wanted = call.fields(wanted::modules)?;
    let until = Instant::now() + BATCH_WITHIN;
    let mut status = 200;
    let mut told = Vec::with_capacity(wanted.len());
    for module in &wanted {
        let result = match service.add_module(module, until) {
            Ok(uuid) => json!({ "Success": uuid }),
            Err(why) => {
                log::info!("module {} is not added: {why}", module.name);
                status = 400;
                json!({ "Error": why })
            }
        };
        told.push(module.told(&result));
    }
    Ok(json(status, &json!({ "modules": told })))
}

/// `DELETE /wasm/{uuid}`: takes a module away.
pub(super) fn remove(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let name = percent_decoded(call.name.as_deref().unwrap_or_default());
    let uuid = Uuid::parse_str(&name).map_err(|_| Failure::Invalid("the path names no UUID".to_owned()))?;
    let id: Option<FunctionId> = {
        let desired = service.api.desired.borrow();
        desired.modules.get(&uuid.to_string()).and_then(|module| module.function_id.parse().ok())
    };
    let Some(id) = id else {
        return Ok(unknown(&uuid, call));
    };
    match service.api.desk.ask(Ask::Remove(id)) {
        Ok(_) => Ok(Answer::text(200, "Module removed successfully")),
        Err(AskError::Unknown(_)) => Ok(unknown(&uuid, call)),
        Err(error @ AskError::OfTheHub(..)) => Err(Failure::Conflict(error.to_string())),
        Err(error) => Err(Failure::NotReady(error.to_string())),
    }
}

fn unknown(uuid: &Uuid, call: &Call) -> Answer {
    let error = format!("Module {uuid} not found");
    let body =
        json!({ "error": error, "type": "NotFoundError", "retryable": false, "request_id": call.request_id });
    json(404, &body)
}

impl Service {
    /// Adds one module, and returns its UUID; or leaves nothing of it, and says why.
    fn add_module(&self, wanted: &Wanted, until: Instant) -> Result<String, String> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("not tried: the batch took longer than {} s", BATCH_WITHIN.as_secs()));
        }
        let component = file::read(
            &wanted.file_path,
            &self.api.settings.wasm_roots,
            self.api.settings.max_artifact_bytes,
        )?;
        let size_bytes = u64::try_from(component.len()).unwrap_or(u64::MAX);
        let sha256 = self
            .keep_component(&component)
            .map_err(|error| format!("its component can not be kept on the device: {error}"))?;
        drop(component);
        let module = Module {
            function_id: wanted.name.to_string(),
            file_path: wanted.file_path.clone(),
            attach_points: wanted.points.iter().map(|(name, _)| (*name).to_owned()).collect(),
            sha256: sha256.to_string(),
            size_bytes,
            created_at: unix_seconds(),
        };
        let order = next_order(&self.api.desired.borrow(), &module)?;
        let uuid = Uuid::new_v4().to_string();
        let bundle = Bundle {
            id: wanted.name.clone(),
            function: self.function_of(&module, &wanted.headers),
            routes: Map::new(),
            middleware: wanted.attached(order),
            module: Some((uuid.clone(), module)),
            replace: false,
        };
        let placed = self.put_within(left, bundle).map_err(|error| error.to_string())?;
        if !self.api.desired.borrow().modules.contains_key(&uuid) {
            return Err(OVERTAKEN.to_owned());
        }
        match self.check_exports(wanted) {
            Ok(()) => Ok(uuid),
            Err(why) => {
                self.take_back(placed, None);
                Err(why)
            }
        }
    }

    fn function_of(&self, module: &Module, headers: &[String]) -> Map<String, Value> {
        let function = json!({
            "artifact_url": format!("upload://{}", module.sha256),
            "sha256": module.sha256,
            "size": module.size_bytes,
            "entrypoint": "middleware",
            "memory_pages": MEMORY_PAGES.min(self.api.settings.max_memory_pages),
            "max_execution_ms": MAX_EXECUTION_MS,
            "permissions": { "headers": headers },
        });
        match function {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// Whether the component can be called wherever it is attached.
    fn check_exports(&self, wanted: &Wanted) -> Result<(), String> {
        let serving = self.serving.load();
        let Some(Some(function)) = serving.functions.get(&wanted.name) else {
            return Err(OVERTAKEN.to_owned());
        };
        let missing = wanted.points.iter().find(|(_, point)| !function.exports().attaches(*point));
        match missing {
            None => Ok(()),
            Some((name, point)) => Err(format!(
                "it is to be attached at {name}, and does not export twinlet:device/{point}@0.1.0"
            )),
        }
    }
}

/// Where the next module comes: after all that are there. One component is there once only.
fn next_order(desired: &Desired, next: &Module) -> Result<i32, String> {
    if let Some(twice) = desired.modules.values().find(|module| module.sha256 == next.sha256) {
        let there = &twice.function_id;
        return Err(format!("its component is there already, as module `{there}`: sha256 {}", next.sha256));
    }
    let is_module =
        |id: &FunctionId| desired.modules.values().any(|module| module.function_id == id.as_str());
    let orders =
        desired.middleware.values().filter(|spec| is_module(&spec.function_id)).map(|spec| spec.order);
    Ok(orders.max().map_or(FIRST_ORDER, |last| last.saturating_add(1).max(FIRST_ORDER)))
}
