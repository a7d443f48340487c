//! `/status` and `/functions`: what the node has to offer.

use serde_json::{Map, Value, json};

use super::super::super::Service;
use super::super::super::answer::{Answer, Failure};
use super::super::Call;
use super::super::call::json;
use crate::engine::Answerer;
use crate::process;

pub(in crate::http::api) fn status(service: &Service, call: &Call) -> Result<Answer, Failure> {
    let url = match call.host.as_str() {
        "" => String::new(),
        host => format!("{}://{host}", service.api.node.scheme),
    };
    Ok(json(
        200,
        &json!({
            "Url": url,
            "AvailableWarmContainers": warm(service),
            "AvailableMemMB": process::available_bytes() >> 20,
            "AvailableCPUs": service.workers.free_cores(),
            // Where every node begins in the space of Vivaldi's algorithm; this one knows no other nodes yet.
            "Coordinates": { "Vec": [0, 0, 0], "Error": 1.5, "Height": 0.000_01 },
            "LoadAvg": process::load_average(),
        }),
    ))
}

/// The hot instances of every function that is ready.
fn warm(service: &Service) -> Map<String, Value> {
    let snapshot = service.serving.load();
    let ready = snapshot.functions.iter().filter_map(|(id, function)| Some((id, function.as_ref()?)));
    let counted = ready.map(|(id, function)| {
        // An actor's instance is its own, and no pool's.
        let hot = match function.exports().answerer() {
            Answerer::Actor => Value::from(function.instances()),
            _ => Value::from(function.hot_instances()),
        };
        (id.as_str().to_owned(), hot)
    });
    counted.collect()
}

pub(in crate::http::api) fn functions(service: &Service, _: &Call) -> Result<Answer, Failure> {
    let desired = service.api.desired.borrow();
    let names: Vec<&str> = desired.functions.keys().map(|id| id.as_str()).collect();
    Ok(json(200, &json!(names)))
}
