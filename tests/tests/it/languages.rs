//! The samples in other languages, which `modules/build-others.sh` builds where their tools are: deployed to the shipped
//! program, since an unoptimised one takes minutes to compile an interpreter.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use twinlet_tests::wait::within;
use twinlet_tests::{AgentBuilder, Desired, Site, guests};

/// A component in another language. None where it was not built; `.ci/run` builds those in JavaScript and Python.
fn component(name: &str) -> Option<Vec<u8>> {
    let file = guests::repository().join("modules/target/components").join(format!("{name}.wasm"));
    let bytes = std::fs::read(&file).ok();
    if bytes.is_none() {
        eprintln!("LEFT OUT: {name} is not built (modules/build-others.sh {name})");
    }
    bytes
}

fn says_hello(name: &str, memory_pages: u32) {
    let release = std::env::var("TWINLET_RELEASE_BINARY").ok().filter(|binary| Path::new(binary).exists());
    let (Some(bytes), Some(binary)) = (component(name), release) else {
        eprintln!("LEFT OUT: {name}: set TWINLET_RELEASE_BINARY and build it");
        return;
    };
    let site = Site::start(AgentBuilder::new(binary));
    let function =
        site.function("hello", bytes).set("memory_pages", memory_pages).set("max_execution_ms", 5_000);
    let desired = Desired::version(1)
        .function(function)
        .route_of("hello", json!({ "path": "/hello", "function_id": "hello", "methods": ["GET"] }));
    site.hub.publish_desired(desired);
    // Compiling an interpreter takes its time.
    within(Duration::from_secs(240), "the component to be applied", || {
        let reported = site.hub.reported();
        (reported["lastDesiredVersion"] == 1 && reported["lastDesiredStatus"]["code"] == 200).then_some(())
    });
    // One instance serves one request after another.
    for _ in 0..50 {
        assert_eq!(site.agent.get("/hello").text(), "Hello, world!\n");
        assert_eq!(site.agent.get("/hello?name=Ann%20%C3%A9").text(), "Hello, Ann é!\n");
    }
    assert_eq!(site.agent.metrics().sum("twinlet_instances", &["function_id=\"hello\""]), 1.0);
    assert_eq!(site.hub.reported()["functions"]["hello"]["lastError"], serde_json::Value::Null);
}

#[test]
fn javascript_says_hello() {
    says_hello("hello-js", 64);
}

#[test]
fn python_says_hello() {
    says_hello("hello-python", 320);
}

#[test]
fn c_says_hello() {
    says_hello("hello-c", 16);
}
