//! The page as a scraper sees it.

use super::*;
use std::time::Duration;

fn page(metrics: &Metrics) -> String {
    let page = metrics.render(1, None).unwrap_or_else(|e| panic!("{e}"));
    String::from_utf8_lossy(&page).into_owned()
}

#[test]
fn the_contracts_metrics_come_first_and_add_up() -> Result<(), Box<dyn std::error::Error>> {
    let metrics = Metrics::new("0")?;
    let function = metrics.function(&"f".parse()?);
    function.invoked(Outcome::Ok, Duration::from_millis(10));
    function.invoked(Outcome::Timeout, Duration::from_millis(30));
    metrics.cache_lookup(false);
    metrics.cache_lookup(true);
    let page = page(&metrics);
    for line in [
        "# HELP edge_runner_total_invocations Total number of function invocations",
        "# TYPE edge_runner_total_invocations counter",
        "edge_runner_total_invocations 2",
        "edge_runner_total_errors 1",
        "edge_runner_average_execution_time_ms 20",
        "edge_runner_error_rate 50",
        "edge_runner_cache_hits 3",
        "edge_runner_cache_misses 1",
        "edge_runner_cache_hit_rate 75",
        "twinlet_invocations_total{function_id=\"f\",outcome=\"timeout\"} 1",
        "twinlet_invocation_duration_seconds_bucket{function_id=\"f\",le=\"0.01\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
    }
    assert!(page.rfind("edge_runner_") < page.find("twinlet_"));
    Ok(())
}

#[test]
fn a_function_that_is_gone_leaves_no_series() -> Result<(), Box<dyn std::error::Error>> {
    let metrics = Metrics::new("0")?;
    let id: FunctionId = "gone".parse()?;
    metrics.function(&id).invoked(Outcome::Ok, Duration::ZERO);
    metrics.failure(&id, "compiling");
    assert!(page(&metrics).contains("gone"));
    metrics.forget_function(&id);
    assert!(!page(&metrics).contains("gone"));
    Ok(())
}
