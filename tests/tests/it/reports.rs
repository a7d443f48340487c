//! What the node tells: heartbeats, metrics, telemetry.

use serde_json::{Value, json};
use twinlet_tests::{Function, Site, guests};

use crate::{agent, site};

/// The contract's seven metrics: name, type, help.
const CONTRACT: [(&str, &str, &str); 7] = [
    ("edge_runner_total_invocations", "counter", "Total number of function invocations"),
    ("edge_runner_total_errors", "counter", "Total number of errors"),
    ("edge_runner_average_execution_time_ms", "gauge", "Average execution time in milliseconds"),
    ("edge_runner_error_rate", "gauge", "Error rate percentage"),
    ("edge_runner_cache_hits", "counter", "Total cache hits"),
    ("edge_runner_cache_misses", "counter", "Total cache misses"),
    ("edge_runner_cache_hit_rate", "gauge", "Cache hit rate percentage"),
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_heartbeat_is_exactly_what_the_contract_says() {
    let site = Site::start(agent().env("HEARTBEAT_INTERVAL_SECS", 1)).serving("fn", guests::answers("x"));
    site.agent.get("/fn");
    let beat = site.hub.heartbeat_where("a function and a call", |b| {
        b["cached_functions"].as_array().is_some_and(|c| c.len() == 1)
            && b["metrics"]["total_invocations"] == 1
    });
    let expected = json!({
        "node_id": "", "pop_id": "", "timestamp": 0, "status": "", "function_count": 0, "cached_functions": [],
        "metrics": { "memory_usage_mb": 0, "cpu_usage_percent": 0, "active_instances": 0, "total_invocations": 0,
                     "error_count": 0 }
    });
    assert_eq!(keys(&beat), keys(&expected));
    assert_eq!(keys(&beat["metrics"]), keys(&expected["metrics"]));
    assert_eq!((&beat["node_id"], &beat["pop_id"]), (&json!("node-1"), &json!("test-pop")));
    assert_eq!((&beat["status"], &beat["function_count"]), (&json!("healthy"), &json!(1)));
    assert_eq!(beat["cached_functions"], json!([{ "function_id": "fn", "version": 1, "status": "cached" }]));
    assert_eq!(beat["metrics"]["error_count"], 0);
    assert!(beat["timestamp"].as_u64().unwrap() > 1_700_000_000);
    assert!(beat["metrics"]["memory_usage_mb"].is_u64() && beat["metrics"]["active_instances"].is_u64());
    assert!(beat["metrics"]["cpu_usage_percent"].is_number());
}

#[test]
fn the_contracts_seven_metrics_have_its_names_types_and_help_and_add_up() {
    let site = site();
    let (good, bad) = (site.function("good", guests::answers("x")), site.function("bad", guests::traps()));
    site.apply(1, |d| d.serving(good).serving(bad));
    for path in ["/good", "/good", "/good", "/bad"] {
        site.agent.get(path);
    }
    let metrics = site.agent.metrics();
    for (name, kind, help) in CONTRACT {
        assert_eq!((metrics.kind(name), metrics.help(name)), (Some(kind), Some(help)), "{name}");
        assert!(metrics.series.contains_key(name), "{name} has no value");
    }
    let value = |name: &str| metrics.series[name];
    assert_eq!(value("edge_runner_total_invocations"), 4.0);
    assert_eq!(value("edge_runner_total_errors"), 1.0);
    assert_eq!(value("edge_runner_error_rate"), 25.0);
    assert_eq!(value("edge_runner_cache_misses"), 2.0);
    let (hits, misses) = (value("edge_runner_cache_hits"), value("edge_runner_cache_misses"));
    assert!((value("edge_runner_cache_hit_rate") - 100.0 * hits / (hits + misses)).abs() < 0.01);
    let others: Vec<_> = metrics.series.keys().filter(|k| k.starts_with("edge_runner_")).collect();
    assert_eq!(others.len(), CONTRACT.len(), "{others:?}");
    let first_own = metrics.text.find("twinlet_").unwrap();
    assert!(metrics.text.rfind("edge_runner_").unwrap() < first_own, "the contract's metrics come first");
}

#[test]
fn our_metrics_name_functions_and_go_with_them() {
    let site = site().serving("fn", guests::answers("x"));
    for _ in 0..3 {
        site.agent.get("/fn");
    }
    let metrics = site.agent.metrics();
    let of_fn = ["function_id=\"fn\""];
    assert_eq!(metrics.sum("twinlet_invocations_total", &["function_id=\"fn\"", "outcome=\"ok\""]), 3.0);
    assert_eq!(metrics.sum("twinlet_invocation_duration_seconds_count", &of_fn), 3.0);
    let buckets: Vec<_> = metrics.series.keys().filter(|k| k.contains("duration_seconds_bucket")).collect();
    assert!(
        buckets.iter().any(|b| b.contains("le=\"0.00005\""))
            && buckets.iter().any(|b| b.contains("le=\"10\""))
    );
    assert_eq!(metrics.sum("twinlet_mqtt_connected", &[]), 1.0);
    assert_eq!(metrics.sum("twinlet_build_info", &[]), 1.0);
    assert!(metrics.sum("twinlet_instances", &of_fn) >= 1.0);
    assert!(metrics.sum("twinlet_artifact_cache_bytes", &[]) > 0.0);
    assert!(metrics.sum("twinlet_resident_memory_bytes", &[]) > 1e6);
    assert!(metrics.series.contains_key("twinlet_queue_depth"));
    site.apply(2, |d| d);
    site.agent.metrics_where("no series of the function", |m| !m.text.contains("function_id=\"fn\""));
}

#[test]
fn both_doors_show_the_same_metrics_page() {
    let site = site();
    // What counts responses by door shows from each door's first response on.
    site.agent.metrics();
    let public = site.agent.get("/metrics");
    assert_eq!(public.status, 200);
    assert!(public.header("content-type").starts_with("text/plain"));
    let names =
        |text: &str| text.lines().filter(|l| l.starts_with("# TYPE")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&public.text()), names(&site.agent.metrics().text));
}

#[test]
fn the_sample_filter_follows_its_config_and_sends_telemetry() {
    let site = site();
    let filter = site.artifact("filter", guests::prebuilt("sensor-filter"));
    let function = |version: u64, threshold: u32| {
        Function::of("filter", &filter)
            .version(version)
            .set("config", json!({ "threshold": threshold }))
            .set("permissions", json!({ "telemetry": true }))
    };
    let reading = r#"{ "sensor": "boiler", "value": 50 }"#;
    site.apply(1, |d| d.serving(function(1, 100)));
    assert_eq!(site.agent.post("/filter", reading).json()["passed"], 0);
    site.apply(2, |d| d.serving(function(2, 20)));
    assert_eq!(site.agent.post("/filter", reading).json()["passed"], 1);
    let sent = site.hub.telemetry("filter", 1);
    let message = sent[0].json();
    assert_eq!((&message["sensor"], &message["threshold"]), (&json!("boiler"), &json!(20.0)));
    assert_eq!(sent.len(), 1, "the reading below the threshold was sent as well");
}
