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

/// Milliseconds since 1970 as RFC 3339 has them, in UTC.
fn rfc3339(millis: u64) -> String {
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    // Days since 1 March 0000, so that a leap day ends its year; in eras of 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_what_a_calendar_says() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }

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
