//! Memory at rest, requests, deployments and starts.

use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_tests::{Agent, Desired, Function, Site, eventually, guests};

use crate::kb;
use crate::load::{CONNECTIONS, Times, request, requests_per_second};

const SAMPLES: u32 = 5;

pub(crate) fn measure(site: Site) {
    let hello = guests::prebuilt("hello-http");
    let function = |id: &str| Function::of(id, &site.artifact(id, hello.clone()));
    let five = (0..5).fold(Desired::version(1), |d, n| d.serving(function(&format!("idle-{n}"))));
    site.hub.publish_desired(five);
    site.hub.applied(1);
    let (pss, own) = (kb(site.agent.pss_bytes()), kb(site.agent.held_bytes()));
    println!("idle with five functions, before any load: {pss} KB PSS, {own} KB of it no file's");

    let fresh = json!({ "isolation": "fresh" });
    site.apply(2, |d| d.serving(function("hot")).serving(function("fresh").set("instances", fresh)));

    println!("requests/s, {} connections, the load on the same machine", 2 * CONNECTIONS);
    let bare = requests_per_second(&site.agent, &request("GET", "/healthz", ""));
    for path in ["/healthz", "/hot", "/fresh"] {
        let rate = requests_per_second(&site.agent, &request("GET", path, ""));
        println!("  {path:9} {rate:8.0}   {:.2} of /healthz, which calls no function", rate / bare);
    }
    let ask = || time(|| assert_eq!(site.agent.get("/hot").status, 200));
    let took = Times::sorted((0..2_000).map(|_| ask()));
    println!(
        "one request after the other, hot, each on a connection of its own: p50 {:?}, p99 {:?}",
        took.percentile(50),
        took.percentile(99)
    );

    println!("from the deployment message to the first 200, {} KB component:", filter(0).len() / 1_000);
    let deployed: Vec<_> = (0..SAMPLES).map(|n| deployment(&site, n)).collect();
    println!("  {deployed:?}");

    println!("first request to a cached function that is not hot:");
    println!("  {:?}", cold_starts(&site));

    let ten = (0..10).fold(Desired::version(1_001), |d, n| d.serving(function(&format!("ten-{n}"))));
    site.hub.publish_desired(ten);
    site.hub.applied(1_001);
    println!("from exec to ready with ten cached functions and no network:");
    println!("  {:?}", starts(site.agent));
}

fn time(what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    what();
    began.elapsed()
}

/// The filter with a custom section of its own, so that each is another artifact, fetched and compiled anew.
fn filter(n: u32) -> Vec<u8> {
    let mut component = guests::prebuilt("sensor-filter");
    component.extend_from_slice(&[0, 6, 1, b'n']);
    component.extend_from_slice(&n.to_le_bytes());
    component
}

fn deployment(site: &Site, n: u32) -> Duration {
    let id = format!("filter-{n}");
    let function = Function::of(&id, &site.artifact(&id, filter(n)));
    let desired = Desired::version(u64::from(100 + n)).serving(function);
    time(|| {
        site.hub.publish_desired(desired);
        eventually("the first 200", || (site.agent.get(&format!("/{id}")).status == 200).then_some(()));
    })
}

fn cold_starts(site: &Site) -> Vec<Duration> {
    let cold = json!({ "min": 0, "idle_timeout_secs": 1 });
    let function = Function::of("cold", &site.artifact("cold", guests::prebuilt("hello-http")));
    site.apply(500, |d| d.serving(function.set("instances", cold)));
    let one = |_| {
        site.agent.metrics_where("no instance", |m| m.sum("twinlet_instances", &["cold"]) == 0.0);
        time(|| assert_eq!(site.agent.get("/cold").status, 200))
    };
    (0..3).map(one).collect()
}

/// Ends the agent and starts it again, each time without broker and artifact server.
fn starts(mut agent: Agent) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..SAMPLES {
        agent.sigterm();
        assert_eq!(agent.wait_exit(Duration::from_secs(20)), 0);
        let began = Instant::now();
        agent = agent.again(|builder| builder.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
        agent.answers("/readyz", 200);
        took.push(began.elapsed());
        assert_eq!(agent.get("/ten-9").status, 200);
    }
    took
}
