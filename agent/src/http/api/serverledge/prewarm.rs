//! `/prewarm`: instances that are hot before anyone wants them.

use std::time::Instant;

use serde_json::json;

use super::super::super::Service;
use super::super::super::answer::{Answer, Failure};
use super::super::Call;
use super::super::call::json;
use super::{UNKNOWN, refused};
use crate::desired::FunctionId;
use crate::engine::Answerer;
use crate::pool::CallError;

/// Instances that can be asked for at once.
const MAX_INSTANCES: u64 = 4_096;
const FAILED: &str = "Prewarming failed";

pub(in crate::http::api) fn prewarm(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let (name, more, verify) = call.fields(|fields, problems| {
        let name = fields.required("Function", problems).and_then(|_| fields.text("Function", problems));
        let more = fields.number::<u32>("Instances", 0..=MAX_INSTANCES, None, problems);
        let verify = fields.flag("ForceImagePull", problems);
        Some((name?.to_owned(), more?, verify))
    })?;
    let snapshot = service.serving.load_full();
    let known = name.parse::<FunctionId>().ok().and_then(|id| snapshot.functions.get(&id));
    let Some(ready) = known else { return Ok(Answer::text(404, UNKNOWN)) };
    let Some(function) = ready else { return Ok(refused(503, FAILED, "the function is not ready yet")) };
    if verify {
        // Named by its digest, an artifact has no newer version: what there is to look at is whether it is whole.
        match service.api.artifacts.verify(&function.spec.sha256) {
            Ok(true) => {}
            Ok(false) => return Ok(refused(503, FAILED, "the artifact on the device is damaged")),
            Err(error) => return Ok(refused(503, FAILED, format_args!("the artifact: {error}"))),
        }
    }
    // An actor is one instance, and that is there.
    if more == 0 || function.exports().answerer() == Answerer::Actor {
        return Ok(json(200, &json!({ "Prewarmed": 0 })));
    }
    let deadline = Instant::now() + function.spec.max_execution;
    let on_worker = function.clone();
    let work = move || on_worker.prewarm(more, deadline);
    match service.workers.run(&function.lane, deadline, &|| false, work) {
        None => Ok(refused(503, FAILED, "all workers are busy")),
        Some((0, Err(error))) if !matches!(error, CallError::Exhausted(_)) => Ok(refused(503, FAILED, error)),
        Some((started, outcome)) => {
            if let Err(error) = outcome {
                log::info!("function {name}: {started} of {more} instances were prewarmed: {error}");
            }
            Ok(json(200, &json!({ "Prewarmed": started })))
        }
    }
}
