//! `GET /wasm`: the modules, and what all middleware has taken.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::Service;
use super::super::super::answer::{Answer, Failure};
use super::super::Call;
use super::super::call::json;
use super::wanted::attach_points;
use crate::desired::{FunctionId, Module, Origin};
use crate::metrics::Executed;
use crate::moment::rfc3339;

/// The modules in the order of their calls on requests. One whose id the hub uses by now is not there.
pub(in super::super) fn list(service: &Service, _: &Call) -> Result<Answer, Failure> {
    let mut modules: Vec<(i32, Value)> = Vec::new();
    {
        let desired = service.api.desired.borrow();
        for (uuid, module) in &desired.modules {
            let Ok(id) = module.function_id.parse::<FunctionId>() else { continue };
            if !matches!(desired.origins.get(&id), Some(Origin::Twin | Origin::Deployment)) {
                let mut attached = desired.middleware.values().filter(|spec| spec.function_id == id);
                let order = attached.next().map_or(i32::MAX, |spec| spec.order);
                modules.push((order, shown(uuid, module, service.executed(&id))));
            }
        }
    }
    modules.sort_by_key(|(order, _)| *order);
    let modules: Vec<Value> = modules.into_iter().map(|(_, module)| module).collect();
    let metrics = metrics(service.metrics.executions.now());
    Ok(json(200, &json!({ "modules": modules, "metrics": metrics })))
}

impl Service {
    fn executed(&self, id: &FunctionId) -> Executed {
        let serving = self.serving.load();
        let function = serving.functions.get(id).and_then(Option::as_ref);
        function.map(|function| function.metrics.executions.now()).unwrap_or_default()
    }
}

fn shown(uuid: &str, module: &Module, executed: Executed) -> Value {
    let created = module.created_at.saturating_mul(1_000);
    json!({
        "module_uuid": uuid,
        "module_meta": {
            "name": module.function_id,
            "file_path": module.file_path,
            "sha256_hash": module.sha256,
            "size_bytes": module.size_bytes,
            "created_at": rfc3339(created),
            "last_accessed_at": rfc3339(executed.last_millis.max(created)),
            "access_count": executed.total,
            "attach_points": attach_points(module.attach_points.iter().map(String::as_str)),
        },
    })
}

/// An average there is of at least one.
fn metrics(executed: Executed) -> Value {
    let Executed { total, failed, time, longest, .. } = executed;
    let mut metrics = json!({
        "total_executions": total,
        "successful_executions": total.saturating_sub(failed),
        "failed_executions": failed,
        "total_execution_time_ms": millis(time),
        "max_execution_time_ms": millis(longest),
    });
    if let Ok(count @ 1..) = u32::try_from(total.min(u32::MAX.into())) {
        let average = time.as_secs_f64() * 1_000.0 / f64::from(count);
        if let Some(fields) = metrics.as_object_mut() {
            fields.insert("average_execution_time_ms".into(), average.into());
        }
    }
    metrics
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_average_of_nothing() {
        assert!(metrics(Executed::default()).get("average_execution_time_ms").is_none());
        let time = Duration::from_micros(2_500);
        let two = Executed { total: 2, failed: 1, time, longest: time, last_millis: 0 };
        let wanted = json!({ "total_executions": 2, "successful_executions": 1, "failed_executions": 1,
            "total_execution_time_ms": 2, "max_execution_time_ms": 2, "average_execution_time_ms": 1.25 });
        assert_eq!(metrics(two), wanted);
    }
}
