//! Room on the disk: what goes to make some, what never does, and what a full or read-only disk is to an agent that
//! serves.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use twinlet_tests::wait::eventually;
use twinlet_tests::{Artifact, Desired, Fault, Function, Site, SmallDisk, guests};

use crate::{agent, site};

const MB: u64 = 1 << 20;

/// A component that answers so, with a custom section that makes it so much larger.
fn padded(text: &str, bytes: usize) -> Vec<u8> {
    let mut component = guests::answers(text);
    // The section's name, which differs with the text, and then its contents.
    let mut contents = vec![u8::try_from(text.len()).unwrap()];
    contents.extend_from_slice(text.as_bytes());
    contents.resize(bytes, 7);
    component.push(0);
    let mut length = contents.len();
    while length >= 0x80 {
        component.push(0x80 | u8::try_from(length & 0x7f).unwrap());
        length >>= 7;
    }
    component.push(u8::try_from(length).unwrap());
    component.extend(contents);
    component
}

fn stored(site: &Site, artifact: &Artifact) -> PathBuf {
    site.agent.state_dir().join(format!("artifacts/{}.wasm", artifact.sha256))
}

/// Applies a version that serves this artifact alone.
fn apply(site: &Site, version: u64, artifact: &Artifact, says: &str) {
    // Without a trial nothing is kept for the way back.
    let function = Function::of("fn", artifact).version(version).set("trial", json!({ "window_secs": 0 }));
    site.apply(version, |desired| desired.serving(function));
    site.agent.says("/fn", says);
}

#[test]
fn the_longest_unused_artifact_goes_first_and_the_bound_holds() {
    // 10.7 MB: three of these fit, and no fourth.
    let site = Site::start(agent().env("CACHE_SIZE_GB", "0.01"));
    let all = ["a", "b", "c", "d"].map(|name| site.artifact(name, padded(name, 3_000_000)));
    for (version, (artifact, name)) in (1..).zip(all.iter().zip(["a", "b", "c"])) {
        apply(&site, version, artifact, name);
    }
    // Used once more, without being fetched once more: `b` is the longest unused then.
    apply(&site, 4, &all[0], "a");
    apply(&site, 5, &all[3], "d");
    let there = |index: usize| stored(&site, &all[index]).exists();
    assert_eq!([there(0), there(1), there(2), there(3)], [true, false, true, true]);
    assert_eq!(site.artifacts.requests("a.wasm"), 1);
    let metrics =
        site.agent.metrics_where("an eviction", |m| m.sum("twinlet_artifacts_evicted_total", &[]) == 1.0);
    assert!(metrics.sum("twinlet_artifact_cache_bytes", &[]) <= 10_737_418.0);
}

/// An agent whose state lies on a small disk, with a function that serves.
fn on_small_disk(bytes: u64) -> Option<(Site, SmallDisk)> {
    let agent = agent().env("MIN_FREE_MB", 1);
    let disk = SmallDisk::mount(agent.state_dir(), bytes)?;
    Some((Site::start(agent).serving("fn", guests::answers("first")), disk))
}

#[test]
fn below_the_floor_nothing_is_fetched_and_when_there_is_room_it_is() {
    let Some((site, disk)) = on_small_disk(8 * MB) else { return };
    let old = site.artifact("old", padded("old", 500_000));
    apply(&site, 2, &old, "old");
    let kept = site.artifact("kept", guests::answers("kept"));
    apply(&site, 3, &kept, "kept");
    disk.leave(3 * MB);
    let large = site.artifact("large", padded("large", 2_900_000));
    site.hub.publish_desired(
        Desired::version(4).serving(Function::of("fn", &large).version(4).set("size", large.size)),
    );
    site.hub.reported_where("that there is no room", |r| {
        let error = r["functions"]["fn"]["lastError"].to_string();
        error.contains("no room for the download") && error.contains("min_free_mb says 1")
    });
    assert!(!stored(&site, &old).exists(), "what nobody needs went first");
    assert!(stored(&site, &kept).exists(), "what serves is needed");
    assert_eq!((site.agent.get("/fn").text(), site.artifacts.requests("large.wasm")), ("kept".into(), 0));
    disk.clear();
    site.hub.applied(4);
    site.agent.says("/fn", "large");
    assert!(site.agent.metrics().sum("twinlet_no_room_total", &[]) >= 1.0);
}

#[test]
fn a_download_of_unknown_size_stops_at_the_floor_and_keeps_what_came() {
    let Some((site, _disk)) = on_small_disk(8 * MB) else { return };
    // Its size is known by the answer: not one byte of it is written.
    let large = site.artifact("large", padded("large", 10_000_000));
    site.hub.publish_desired(Desired::version(2).serving(Function::of("fn", &large).version(2)));
    site.hub.reported_where("that there is no room for all of it", |r| {
        r["functions"]["fn"]["lastError"].to_string().contains(&format!("{} needed", large.size))
    });
    assert!(!stored(&site, &large).with_added_extension("partial").exists());
    let endless = site.artifacts.serve_with("endless.wasm", guests::noise(32 << 10), Fault::Endless);
    let of = |artifact| Function::of("fn", artifact).version(3);
    site.hub.publish_desired(Desired::version(3).serving(of(&endless)));
    site.hub.reported_where("that there is no room", |r| {
        let error = r["functions"]["fn"]["lastError"].to_string();
        error.contains("no room for the download")
            && !error.contains(&format!("{} needed", large.size))
            && error.contains("min_free_mb says 1")
    });
    let free = |m: &twinlet_tests::metrics::Metrics| m.sum("twinlet_disk_free_bytes", &[]);
    let metrics = site.agent.metrics_where("what is free", |m| free(m) < (3 * MB) as f64);
    assert!(free(&metrics) >= (MB - (64 << 10)) as f64, "{} bytes are free", free(&metrics));
    let came = stored(&site, &endless).with_added_extension("partial");
    assert!(came.metadata().unwrap().len() > MB, "what came is kept");
    site.agent.says("/fn", "first");
}

#[test]
fn a_disk_that_is_full_to_the_last_byte_harms_nothing_and_heals() {
    let Some((mut site, disk)) = on_small_disk(24 * MB) else { return };
    let sending = site.artifact("sending", guests::sends());
    let telemetry = json!({ "telemetry": true });
    let sending = Function::of("send", &sending).set("permissions", telemetry);
    let first = site.artifact("fn", guests::answers("first"));
    let both =
        |version| Desired::version(version).serving(Function::of("fn", &first)).serving(sending.clone());
    site.hub.publish_desired(both(2));
    site.hub.applied(2);
    assert_eq!(site.agent.post("/send", "1").status, 200);
    disk.fill();
    assert_eq!(site.agent.post("/send", "2").text(), "3", "storage");
    let mark = site.agent.mark();
    site.hub.publish_desired(both(3).set("settings", json!({ "log_level": "debug" })));
    site.hub.reported_where("that it is not kept", |r| {
        r["lastDesiredStatus"]["code"] == 500
            && r["lastDesiredStatus"]["description"].to_string().contains("the disk is full")
    });
    let metrics = site.agent.metrics_where("no free byte", |m| m.sum("twinlet_disk_free_bytes", &[]) == 0.0);
    assert_eq!(metrics.sum("twinlet_store_writable", &[]), 1.0, "it was refused before sled could fail");
    site.agent.says("/fn", "first");
    disk.clear();
    site.hub.applied(3);
    let said = site.agent.log_since(mark).iter().filter(|line| line.contains("not kept on the disk")).count();
    assert_eq!(said, 1, "once, not at every try");
    eventually("telemetry that is taken", || (site.agent.post("/send", "3").status == 200).then_some(()));
    assert!(site.agent.runs());
}

#[test]
fn an_agent_starts_on_a_full_disk_serves_and_heals() {
    let Some((mut site, disk)) = on_small_disk(8 * MB) else { return };
    site.agent.kill9();
    disk.fill();
    let agent = site.agent.again(|builder| builder);
    agent.says("/fn", "first");
    disk.clear();
    let second = site.artifact("second", guests::answers("second"));
    site.hub.publish_desired(Desired::version(2).serving(Function::of("fn", &second).version(2)));
    site.hub.applied(2);
    agent.says("/fn", "second");
    agent.metrics_where("a database that takes writes", |m| m.sum("twinlet_store_writable", &[]) == 1.0);
}

#[test]
fn a_disk_that_became_read_only_is_served_from_and_heals() {
    let Some((mut site, disk)) = on_small_disk(24 * MB) else { return };
    site.agent.kill9();
    disk.read_only(true);
    let agent = site.agent.again(|builder| builder);
    agent.says("/fn", "first");
    let page = || twinlet_tests::metrics::Metrics::parse(&agent.get("/metrics").text());
    eventually("a database that takes no writes", || {
        (page().sum("twinlet_store_writable", &[]) == 0.0).then_some(())
    });
    let second = site.artifact("second", guests::answers("second"));
    site.hub.publish_desired(Desired::version(2).serving(Function::of("fn", &second).version(2)));
    site.hub.reported_where("that it is not kept", |r| r["lastDesiredStatus"]["code"] == 500);
    disk.read_only(false);
    twinlet_tests::wait::within(Duration::from_secs(90), "version 2", || {
        (agent.get("/fn").text() == "second").then_some(())
    });
    eventually("a database that takes writes", || {
        (page().sum("twinlet_store_writable", &[]) == 1.0).then_some(())
    });
}

#[test]
fn writes_are_counted_by_purpose() {
    let site = site().serving("fn", guests::answers("counted"));
    let metrics = site.agent.metrics();
    let written =
        |purpose: &str| metrics.sum("twinlet_disk_written_bytes_total", &[&format!("purpose=\"{purpose}\"")]);
    let artifact = site.artifact("fn", guests::answers("counted"));
    assert_eq!(written("artifact"), f64::from(u32::try_from(artifact.size).unwrap()));
    let compiled = std::fs::read_dir(site.agent.state_dir().join("artifacts")).unwrap();
    let compiled: u64 = compiled
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "cwasm"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(written("compiled") >= f64::from(u32::try_from(compiled).unwrap()));
    // The document, in the database and in its copy.
    assert!(written("desired") > 2.0 * f64::from(200) && written("outbox") == 0.0);
    assert!(metrics.sum("twinlet_disk_syncs_total", &["purpose=\"database\""]) >= 1.0);
}
