//! Dry runs: what a node says would happen, that nothing happens, and that the real thing goes before.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use twinlet_tests::site::NODE;
use twinlet_tests::{Cli, Desired, Fault, Function, Site, eventually, guests};

use crate::{agent, site, twinlet};

/// A site that serves version 1 of `fn` on `/fn`.
fn serving() -> Site {
    site().serving("fn", guests::answers("one"))
}

/// Asks what would become of a document, without leaving it with the broker.
fn ask(site: &Site, document: Desired) -> Value {
    let mark = site.hub.mark();
    let document = Value::from(document.set("dryRun", true));
    let version = document["$version"].clone();
    site.hub.publish(&site.hub.topic("twin", "/desired"), document.to_string(), false);
    let report = site.hub.reported_after(mark, &format!("an answer to dry run {version}"), |r| {
        r["dryRun"]["version"] == version && r["dryRun"]["code"].as_u64().is_some_and(|code| code != 202)
    });
    report["dryRun"].clone()
}

/// The document of version 2 with `fn` as it serves, and this beside it.
fn beside(site: &Site, other: Function) -> Desired {
    Desired::version(2).serving(site.function("fn", guests::answers("one"))).serving(other)
}

/// Checks that all is as `serving` left it, and that `$version` 2 is still free for a real document.
fn nothing_changed(site: &Site) {
    let now = site.hub.reported();
    assert_eq!(
        (&now["lastDesiredVersion"], &now["lastDesiredStatus"]["code"]),
        (&json!(1), &json!(200)),
        "{now}"
    );
    assert_eq!(now["functions"].as_object().unwrap().keys().collect::<Vec<_>>(), ["fn"]);
    assert_eq!(
        (&now["functions"]["fn"]["version"], &now["functions"]["fn"]["phase"]),
        (&json!(1), &json!("running"))
    );
    assert_eq!(site.agent.get("/fn").text(), "one");
    assert_eq!(site.agent.get("/other").status, 404);
    let next = site.function("fn", guests::answers("two")).version(2);
    site.apply(2, |d| d.serving(next));
    assert_eq!(site.agent.get("/fn").text(), "two");
    assert_eq!(site.hub.reported()["dryRun"], Value::Null);
}

fn artifacts(state: &Path) -> Vec<String> {
    let files = fs::read_dir(state.join("artifacts")).unwrap();
    files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn it_says_what_would_be_downloaded_kept_and_changed() {
    let site = serving();
    let new = site.artifact("new", guests::answers("new"));
    let other = Function::of("other", &new).set("size", new.size).set("instances", json!({ "min": 2 }));
    let two = Function::of("fn", &site.artifact("two", guests::answers("two"))).version(2);
    let told = ask(&site, Desired::version(2).serving(other).serving(two));
    assert_eq!(told["code"], 200, "{told}");
    assert!(told["description"].as_str().unwrap().contains("1 added, 1 updated, 0 removed"), "{told}");
    let (other, two) = (&told["functions"]["other"], &told["functions"]["fn"]);
    assert_eq!((&other["action"], &other["toVersion"]), (&json!("add"), &json!(1)));
    assert_eq!(other["downloadBytes"], new.size);
    assert!(other["disk_bytes"].is_null() && other["diskBytes"].as_u64().unwrap() > new.size as u64);
    assert_eq!(
        (&two["action"], &two["fromVersion"], &two["toVersion"]),
        (&json!("update"), &json!(1), &json!(2))
    );
    assert!(two["downloadBytes"].as_u64().unwrap() > 0, "its size is known once it was fetched: {two}");
    // `/fn` of the new document stands under another id than before.
    assert_eq!((&told["routes"]["added"], &told["routes"]["changed"]), (&json!(["r1"]), &json!(["r0"])));
    assert_eq!((&told["memoryBytes"], &told["memoryNowBytes"]), (&json!(3 << 24), &json!(1 << 24)));
    assert!(told["diskFreeBytes"].as_u64().unwrap() > told["diskBytes"].as_u64().unwrap());
    assert!(told["memoryAvailableBytes"].as_u64().unwrap() > 0);
    nothing_changed(&site);
}

#[test]
fn what_would_fail_is_named_and_changes_nothing() {
    let site = serving();
    let good = site.artifact("good", guests::answers("x"));
    let of = |artifact| Function::of("other", &artifact);
    let wrong = [
        (of(site.artifact("unknown", guests::imports_unknown())), "acme:unknown/thing"),
        (of(good.clone()).set("sha256", "ab".repeat(32)), "the sha256 of what came"),
        (of(good.clone()).set("size", good.size - 1), "where `size` says"),
        (of(site.artifact("noise", guests::noise(5_000))), "component"),
        (of(site.faulty("gone", guests::noise(9), Fault::NotFound)), "404"),
        (of(good).set("entrypoint", "actor"), "actor"),
    ];
    for (other, why) in wrong {
        let told = ask(&site, beside(&site, other));
        assert_eq!((&told["code"], &told["unchanged"]), (&json!(500), &json!(1)), "{told}");
        assert!(told["functions"]["other"]["error"].as_str().unwrap().contains(why), "{told}");
        assert!(told["description"].as_str().unwrap().contains(why), "{told}");
    }
    nothing_changed(&site);
}

#[test]
fn what_is_too_large_to_look_at_is_not_downloaded() {
    let site =
        Site::start(agent().env("ARTIFACT_MAX_BYTES", 100 << 20)).serving("fn", guests::answers("one"));
    let new = site.artifact("other", guests::answers("other"));
    let of_size = |size: u64| beside(&site, Function::of("other", &new).set("size", size));
    let told = ask(&site, of_size(101 << 20));
    assert!(told["functions"]["other"]["error"].as_str().unwrap().contains("artifact_max_bytes"), "{told}");
    let told = ask(&site, of_size(65 << 20));
    let other = &told["functions"]["other"];
    assert_eq!((&told["code"], &other["downloadBytes"]), (&json!(200), &json!(65 << 20)), "{told}");
    assert!(other["notLooked"].as_str().unwrap().contains("a dry run downloads no more"), "{told}");
    assert!(told["description"].as_str().unwrap().contains("1 could not be looked at"), "{told}");
    assert_eq!(site.artifacts.requests("other.wasm"), 0);
    // Where desired state does not say its size, the server does.
    let large = site.artifact("large", vec![7; 65 << 20]);
    let before = artifacts(site.agent.state_dir());
    let told = ask(&site, beside(&site, Function::of("other", &large)));
    let other = &told["functions"]["other"];
    assert!(other["notLooked"].as_str().unwrap().contains("may be downloaded"), "{told}");
    assert_eq!((site.artifacts.requests("large.wasm"), artifacts(site.agent.state_dir())), (1, before));
    nothing_changed(&site);
}

#[test]
fn where_the_cache_has_no_room_nothing_is_fetched_or_removed() {
    // Room for what serves, and for little more.
    let site = Site::start(agent().env("CACHE_SIZE_GB", "0.01")).serving("fn", guests::answers("one"));
    let before = artifacts(site.agent.state_dir());
    let new = site.artifact("other", guests::answers("other"));
    let told = ask(&site, beside(&site, Function::of("other", &new).set("size", 5_000_000)));
    let other = &told["functions"]["other"];
    assert!(other["notLooked"].as_str().unwrap().contains("without removing anything"), "{told}");
    assert_eq!(other["diskBytes"], 20_000_000, "an estimate");
    assert_eq!(site.artifacts.requests("other.wasm"), 0);
    assert_eq!(artifacts(site.agent.state_dir()), before);
}

#[test]
fn more_than_the_disk_has_would_fail() {
    let site = serving();
    let new = site.artifact("other", guests::answers("other"));
    let told = ask(&site, beside(&site, Function::of("other", &new).set("size", 1_u64 << 50)));
    assert_eq!(told["code"], 500, "{told}");
    assert!(told["description"].as_str().unwrap().contains("bytes of disk"), "{told}");
    assert_eq!(site.artifacts.requests("other.wasm"), 0);
    nothing_changed(&site);
}

#[test]
fn new_permissions_are_named_with_and_without_the_gate() {
    let site = serving();
    let permissions = json!({ "http": ["https://api.example.com/*"], "telemetry": true });
    let asks = |gate: bool, approve: Value| {
        let two =
            site.function("fn", guests::answers("one")).version(2).set("permissions", permissions.clone());
        let settings = json!({ "gate_new_permissions": gate });
        let document = Desired::version(2).serving(two).set("settings", settings).set("approve", approve);
        ask(&site, document)["functions"]["fn"].clone()
    };
    let new = "calls https://api.example.com/*; sends telemetry";
    let open = asks(false, json!({}));
    assert_eq!((&open["newPermissions"], &open["awaitsApproval"]), (&json!(new), &Value::Null), "{open}");
    assert_eq!(open["downloadBytes"], 0, "it is on the device");
    let gated = asks(true, json!({ "fn": 1, "unknown": 7 }));
    assert_eq!((&gated["newPermissions"], &gated["awaitsApproval"]), (&json!(new), &json!(true)), "{gated}");
    let approved = asks(true, json!({ "fn": 2 }));
    assert_eq!((&approved["newPermissions"], &approved["awaitsApproval"]), (&json!(new), &Value::Null));
    nothing_changed(&site);
}

#[test]
fn it_is_refused_as_the_real_document_would_be_and_the_status_stays() {
    let site = serving();
    let refused = |document: Desired, code: u64, why: &str| {
        let told = ask(&site, document);
        assert_eq!(told["code"], code, "{told}");
        assert!(told["description"].as_str().unwrap().contains(why), "{told}");
    };
    refused(Desired::version(1), 409, "$version 1 stands already");
    refused(Desired::version(2).set("colour", 1), 400, "colour");
    let mark = site.hub.mark();
    site.hub.publish_patch(json!({ "$version": 5, "dryRun": true }));
    let gap = site.hub.reported_after(mark, "a gap", |r| r["dryRun"]["code"] == 409);
    assert!(gap["dryRun"]["description"].as_str().unwrap().contains("does not follow"), "{gap}");
    nothing_changed(&site);
    // What is not plainly true or false may be meant as a real one, and is refused as such.
    site.hub.publish_desired(Desired::version(3).set("dryRun", "true"));
    let report = site.hub.reported_status(2, 400);
    assert!(report["lastDesiredStatus"]["description"].as_str().unwrap().contains("dryRun"), "{report}");
}

#[test]
fn a_document_of_the_largest_size_makes_no_large_report() {
    let site = serving();
    let mut document = beside(&site, site.function("other", guests::imports_unknown()));
    for n in 0..1_300 {
        let (url, id) = (format!("file:///nowhere/{n}"), format!("fn{n:04}"));
        let fields = json!({ "version": 1, "artifact_url": url, "sha256": format!("{n:064x}") });
        document = document.function(Function::bare(&id, fields)).route(&format!("/{id}"), &id);
    }
    let bytes = Value::from(document.clone()).to_string().len();
    assert!((200_000..262_144).contains(&bytes), "{bytes}");
    let told = ask(&site, document);
    assert_eq!((&told["code"], &told["moreFunctions"]), (&json!(500), &json!(1_301 - 64)), "{told}");
    assert_eq!(told["routes"]["more"], 1_301 - 32);
    assert!(told.to_string().len() < 32_768, "{}", told.to_string().len());
    nothing_changed(&site);
}

#[test]
fn a_patch_is_a_dry_run_of_what_it_leads_to() {
    let site = serving();
    let mark = site.hub.mark();
    site.hub
        .publish_patch(json!({ "$version": 2, "dryRun": true, "functions": { "fn": null }, "routes": null }));
    let told = site.hub.reported_after(mark, "an answer", |r| r["dryRun"]["code"] == 200)["dryRun"].clone();
    assert_eq!(
        (&told["functions"]["fn"]["action"], &told["routes"]["removed"]),
        (&json!("remove"), &json!(["r0"]))
    );
    nothing_changed(&site);
}

#[test]
fn a_restart_serves_what_was_served_and_knows_of_no_dry_run() {
    let mut site = serving();
    let two = Function::of("fn", &site.artifact("two", guests::answers("two"))).version(2);
    assert_eq!(ask(&site, Desired::version(2).serving(two.clone()))["code"], 200);
    site.agent.kill9();
    let mark = site.hub.mark();
    site.agent = site.agent.again(|builder| builder);
    let report =
        site.hub.reported_after(mark, "the old version", |r| r["functions"]["fn"]["phase"] == "running");
    assert_eq!((&report["lastDesiredVersion"], &report["dryRun"]), (&json!(1), &Value::Null), "{report}");
    assert_eq!(site.agent.get("/fn").text(), "one");
    let before = site.artifacts.requests("two.wasm");
    site.apply(2, |d| d.serving(two));
    assert_eq!(site.agent.get("/fn").text(), "two");
    assert_eq!((before, site.artifacts.requests("two.wasm")), (1, 1), "the dry run left it in the cache");
}

#[test]
fn a_real_document_goes_before_a_dry_run_that_stands_still() {
    let site = serving();
    let stuck = Function::of("other", &site.faulty("stuck", guests::answers("stuck"), Fault::Stall));
    let document = Value::from(beside(&site, stuck).set("dryRun", true));
    site.hub.publish(&site.hub.topic("twin", "/desired"), document.to_string(), false);
    site.artifacts.requested("stuck.wasm", 1);
    site.hub.reported_where("the dry run under way", |r| {
        r["dryRun"]["description"] == "looking at other: fetching"
    });
    // The stall would be given up after 30 s by itself.
    let (began, mark) = (std::time::Instant::now(), site.agent.mark());
    nothing_changed(&site);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    site.agent
        .log_line_after(mark, "the end of the dry run", |l| l.contains("dry run of version 2: given up"));
    assert_eq!(
        ask(&site, Desired::version(3))["functions"]["fn"]["action"],
        "remove",
        "and the next is answered"
    );
}

#[test]
fn a_dry_run_waits_for_the_work_before_it() {
    let site = serving();
    let slow = site.function("slow", guests::dawdles(1, "slow"));
    let next = beside(&site, slow.clone());
    site.hub.publish_desired(next);
    let told = ask(&site, Desired::version(3).serving(slow));
    assert_eq!(
        (&told["unchanged"], &told["functions"]["fn"]["action"]),
        (&json!(1), &json!("remove")),
        "{told}"
    );
    assert!(told["functions"]["slow"].is_null(), "{told}");
}

#[test]
fn the_command_line_asks_and_shows_the_answer() {
    let site = serving();
    let cli = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"));
    let cli = cli.env("MQTT_BROKER", site.broker.url()).env("NODE_ID", NODE);
    let bad = Value::from(beside(&site, site.function("other", guests::imports_unknown())));
    let said = cli.run_with(&["twin", "set", "-", "--dry-run"], &bad.to_string());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.starts_with("dry run of version 2: would fail: other: "), "{said:?}");
    let row = said.out.lines().find(|line| line.starts_with("other")).unwrap_or_default();
    assert!(row.contains("add") && row.contains("acme:unknown/thing"), "{said:?}");
    let again = cli.run_with(&["twin", "set", "-", "--dry-run", "--json"], &bad.to_string()).json();
    assert_eq!(again["dryRun"]["code"], 500, "the same once more is answered anew: {again}");

    let patch = r#"{"routes":{"r0":{"path":"/elsewhere"}}}"#;
    let good = cli.run(&["twin", "patch", patch, "--dry-run"]).done();
    assert!(good.out.starts_with("dry run of version 2: would be applied: "), "{good:?}");
    assert!(good.out.contains("\nroutes: changed r0\n"), "{good:?}");
    let status = twinlet(&site.agent).run(&["status"]).done();
    assert!(status.out.contains("Dry run    version 2; 200: would be applied"), "{status:?}");

    let kept = cli.run(&["twin", "get", "--desired"]).done().json();
    assert_eq!(
        (&kept["$version"], &kept["dryRun"]),
        (&json!(1), &Value::Null),
        "the broker keeps the real one"
    );
    let real = cli.run(&["twin", "patch", patch]).done();
    assert_eq!(real.out, "version 2: applied\n");
    eventually("the route", || Some(site.agent.get("/elsewhere")).filter(|answer| answer.text() == "one"));
    let status = twinlet(&site.agent).run(&["status"]).done();
    assert!(!status.out.contains("Dry run"), "{status:?}");
}
