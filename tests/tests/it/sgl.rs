//! sgl-router's `/wasm` through the local door: modules from files, attached to requests, counted, and taken away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use twinlet_tests::guests::actors::Break;
use twinlet_tests::guests::middleware::{self, Modify, Point};
use twinlet_tests::{Agent, Response, Site, eventually, guests};

use crate::agent;

/// A site whose agent reads modules from one directory, and serves the mirror on `/x`.
struct Wasm {
    site: Site,
    roots: TempDir,
}

impl Wasm {
    fn start() -> Self {
        Self::serving(guests::mirrors(200))
    }

    fn serving(target: Vec<u8>) -> Self {
        let roots = tempfile::tempdir().unwrap();
        let site = Site::start(agent().env("WASM_ROOTS", format!("/nowhere:{}", roots.path().display())));
        let target = site.function("target", target).set("max_execution_ms", 30_000);
        site.apply(1, |desired| desired.function(target).route("/x", "target"));
        Self { site, roots }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.roots.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A module of these bytes.
    fn module(&self, name: &str, bytes: &[u8], points: &[&str]) -> Value {
        named(name, &self.file(&format!("{name}.wasm"), bytes).display().to_string(), points)
    }

    /// Adds one module, and returns its UUID.
    fn added(&self, name: &str, bytes: &[u8], points: &[&str]) -> String {
        let answer = post(&self.site.agent, &[self.module(name, bytes, points)]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["modules"][0]["add_result"]["Success"].as_str().unwrap().to_owned()
    }

    fn get(&self) -> Response {
        self.site.agent.get("/x")
    }
}

fn named(name: &str, path: &str, points: &[&str]) -> Value {
    let points: Vec<Value> = points.iter().map(|point| json!({ "Middleware": point })).collect();
    json!({ "name": name, "file_path": path, "module_type": "Middleware", "attach_points": points })
}

fn post(agent: &Agent, modules: &[Value]) -> Response {
    agent.local("POST", "/wasm", json!({ "modules": modules }).to_string().as_bytes())
}

fn delete(agent: &Agent, uuid: &str) -> Response {
    agent.local("DELETE", &format!("/wasm/{uuid}"), b"")
}

fn listed(agent: &Agent) -> Value {
    let answer = agent.local("GET", "/wasm", b"");
    assert_eq!((answer.status, answer.header("content-type").as_str()), (200, "application/json"));
    answer.json()
}

fn names(agent: &Agent) -> Vec<String> {
    let listed = listed(agent);
    let modules = listed["modules"].as_array().unwrap().iter();
    modules.map(|module| module["module_meta"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the agent has these functions and no other.
fn only(agent: &Agent, wanted: &[&str]) {
    eventually(&format!("{wanted:?} and nothing else"), || {
        let told = agent.local("GET", "/twinlet/functions", b"").json();
        let ids = told["functions"].as_array()?.iter().map(|function| function["id"].clone());
        (ids.collect::<Vec<Value>>() == wanted).then_some(())
    });
}

#[test]
fn a_module_is_added_called_counted_listed_and_removed() {
    let wasm = Wasm::start();
    let agent = &wasm.site.agent;
    let nothing = json!({ "total_executions": 0, "successful_executions": 0, "failed_executions": 0,
        "total_execution_time_ms": 0, "max_execution_time_ms": 0 });
    assert_eq!(listed(agent), json!({ "modules": [], "metrics": nothing }));

    let bytes = guests::prebuilt("request-log");
    let module = wasm.module("log", &bytes, &["OnRequest", "OnResponse", "OnError"]);
    let answer = post(agent, std::slice::from_ref(&module));
    assert_eq!((answer.status, answer.header("content-type").as_str()), (200, "application/json"));
    let mut told = answer.json()["modules"][0].clone();
    let result = told.as_object_mut().unwrap().remove("add_result").unwrap();
    assert_eq!(told, module, "the answer repeats the module");
    let uuid = result["Success"].as_str().unwrap();
    assert_eq!(uuid.len(), 36);

    assert_eq!(wasm.get().status, 200);
    assert_eq!(wasm.get().status, 200);
    let list = listed(agent);
    let (shown, meta) = (&list["modules"][0], &list["modules"][0]["module_meta"]);
    assert_eq!(shown["module_uuid"], uuid);
    assert_eq!((&meta["name"], &meta["file_path"]), (&json!("log"), &module["file_path"]));
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&meta["sha256_hash"], &meta["size_bytes"]), (&json!(digest), &json!(bytes.len())));
    assert_eq!((&meta["access_count"], &meta["attach_points"]), (&json!(4), &module["attach_points"]));
    let times = ["created_at", "last_accessed_at"].map(|key| meta[key].as_str().unwrap().to_owned());
    assert!(
        times[0] <= times[1] && times.iter().all(|t| t.starts_with("20") && t.ends_with('Z')),
        "{times:?}"
    );
    let metrics = &list["metrics"];
    assert_eq!((&metrics["total_executions"], &metrics["successful_executions"]), (&json!(4), &json!(4)));
    assert_eq!(metrics["failed_executions"], 0);
    let average = metrics["average_execution_time_ms"].as_f64().unwrap();
    assert!(average > 0.0 && average < 1_000.0, "{average}");

    wasm.site.hub.reported_where("it, and whose it is", |r| {
        let log = &r["functions"]["log"];
        log["origin"] == "api" && log["phase"] == "running"
    });

    let removed = delete(agent, &uuid.to_uppercase());
    assert_eq!((removed.status, removed.text().as_str()), (200, "Module removed successfully"));
    assert_eq!(names(agent), Vec::<String>::new());
    assert_eq!(delete(agent, uuid).status, 404);
    only(agent, &["target"]);
    assert_eq!(wasm.get().status, 200);
    assert_eq!(listed(agent)["metrics"]["total_executions"], 4, "all calls since the start");
}

#[test]
fn later_modules_run_later_on_requests_and_earlier_on_responses() {
    let wasm = Wasm::start();
    let seen = |text: &str| Modify::default().add("x-order", text).at(&[Point::Request]);
    let last = |text: &str| Modify::default().set("x-last", text).at(&[Point::Response]);
    // Names that sort the other way round.
    wasm.added("z", &seen("first"), &["OnRequest"]);
    wasm.added("y", &seen("second"), &["OnRequest"]);
    wasm.added("b", &last("first"), &["OnResponse"]);
    wasm.added("a", &last("second"), &["OnResponse"]);
    let answer = wasm.get();
    let order: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "x-order").collect();
    assert_eq!(order.iter().map(|(_, v)| v.as_slice()).collect::<Vec<_>>(), [b"first".as_slice(), b"second"]);
    assert_eq!(answer.header("x-last"), "first", "the first added has the last word");
    assert_eq!(names(&wasm.site.agent), ["z", "y", "b", "a"]);
}

#[test]
fn on_error_sees_what_the_agent_answers_in_a_functions_place() {
    let wasm = Wasm::serving(guests::traps());
    assert_eq!(wasm.get().header("seen-kind"), "");
    let uuid = wasm.added("shows", &middleware::shows(), &["OnError"]);
    let answer = wasm.get();
    assert_eq!((answer.status, answer.header("seen-kind").as_str()), (500, "ExecutionError"));
    assert_eq!((answer.header("seen-path"), answer.header("seen-status")), ("/x".into(), "500".into()));
    let answer = wasm.site.agent.get("/nowhere");
    assert_eq!((answer.status, answer.header("seen-kind").as_str()), (404, "NotFoundError"));
    assert_eq!(delete(&wasm.site.agent, &uuid).status, 200);
    eventually("errors without it", || wasm.get().header("seen-kind").is_empty().then_some(()));
}

#[test]
fn a_module_that_fails_is_passed_over_and_counted() {
    let wasm = Wasm::start();
    let agent = &wasm.site.agent;
    wasm.added(
        "breaks",
        &middleware::breaks(&[Point::Request, Point::Response], Break::Trap),
        &["OnRequest", "OnResponse"],
    );
    assert_eq!(wasm.get().status, 200);
    let metrics = listed(agent)["metrics"].clone();
    assert_eq!((&metrics["total_executions"], &metrics["failed_executions"]), (&json!(2), &json!(2)));
    // It wants `config`, which sgl-router's modules have not.
    wasm.added("auth", &guests::prebuilt("auth"), &["OnRequest"]);
    wasm.added("limit", &guests::prebuilt("rate-limit"), &["OnRequest"]);
    assert_eq!(wasm.get().status, 200);
    let metrics = listed(agent)["metrics"].clone();
    assert_eq!((&metrics["total_executions"], &metrics["failed_executions"]), (&json!(6), &json!(6)));
    assert_eq!(metrics["successful_executions"], 0);
    let failed = agent.metrics().sum("twinlet_middleware_total", &["outcome=\"failed_open\""]);
    assert_eq!(failed, 6.0, "the same as on /metrics");
}

#[test]
fn a_module_may_run_for_a_second_and_a_rejection_is_its_answer() {
    let wasm = Wasm::start();
    let uuid = wasm.added("spins", &middleware::breaks(&[Point::Response], Break::Spin), &["OnResponse"]);
    assert_eq!(wasm.get().status, 200, "the mirror's answer, a second later");
    let metrics = listed(&wasm.site.agent)["metrics"].clone();
    let longest = metrics["max_execution_time_ms"].as_u64().unwrap();
    assert!((900..=10_000).contains(&longest), "{longest} of the 30,000 ms that the request has");
    assert!(metrics["total_execution_time_ms"].as_u64().unwrap() >= longest);
    assert_eq!(delete(&wasm.site.agent, &uuid).status, 200);
    wasm.added("rejects", &middleware::rejects(&[Point::Request], 451), &["OnRequest"]);
    assert_eq!(wasm.get().status, 451);
}

#[test]
fn of_a_batch_each_is_told_and_what_succeeded_stays() {
    let wasm = Wasm::start();
    let agent = &wasm.site.agent;
    let on_request = middleware::continues(&[Point::Request]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("m.wasm"), &on_request).unwrap();
    symlink(outside.path(), wasm.roots.path().join("link")).unwrap();
    let link = wasm.roots.path().join("link/m.wasm").display().to_string();
    let good = Modify::default().set("x-good", "yes").at(&[Point::Request]);
    let again = Modify::default().set("x-good", "again").at(&[Point::Request]);
    let modules = [
        wasm.module("no-component", &guests::not_a_component(), &["OnRequest"]),
        wasm.module("good", &good, &["OnRequest"]),
        named("good", &wasm.file("again", &again).display().to_string(), &["OnRequest"]),
        named("same", &wasm.file("same", &good).display().to_string(), &["OnRequest"]),
        named("target", &wasm.file("other", &again).display().to_string(), &["OnRequest"]),
        wasm.module("half", &on_request, &["OnRequest", "OnResponse"]),
        wasm.module("handler", &guests::answers("hi"), &["OnRequest"]),
        wasm.module("empty", b"", &["OnRequest"]),
        named("link", &link, &["OnRequest"]),
        named("outside", "/etc/passwd", &["OnRequest"]),
        named("missing", &wasm.roots.path().join("missing").display().to_string(), &["OnRequest"]),
    ];
    let answer = post(agent, &modules);
    assert_eq!(answer.status, 400);
    let told = answer.json();
    let results: Vec<&Value> = told["modules"].as_array().unwrap().iter().map(|m| &m["add_result"]).collect();
    assert_eq!(results.len(), modules.len());
    for (index, wanted) in [
        (0, ""),
        (2, "exists already, by the api"),
        (3, "is there already, as module `good`"),
        (4, "exists already, by the twin"),
        (5, "does not export twinlet:device/on-response@0.1.0"),
        (6, "exports no twinlet:device/on-request@0.1.0"),
        (7, "is empty"),
        (8, "below none of the directories of wasm_roots"),
        (9, "below none of the directories of wasm_roots"),
        (10, "No such file"),
    ] {
        let error = results[index]["Error"].as_str().unwrap_or_else(|| panic!("{index}: {}", results[index]));
        assert!(!error.is_empty() && error.contains(wanted), "{index}: {error}");
    }
    assert!(results[1]["Success"].is_string());
    assert_eq!(names(agent), ["good"]);
    assert_eq!(wasm.get().header("x-good"), "yes");
    only(agent, &["good", "target"]);
}

#[test]
fn a_body_that_is_wrong_changes_nothing_and_is_told_where() {
    let wasm = Wasm::start();
    let agent = &wasm.site.agent;
    let good = wasm.module("good", &middleware::continues(&[Point::Request]), &["OnRequest"]);
    let with = |key: &str, value: Value| {
        let mut wrong = good.clone();
        wrong[key] = value;
        json!({ "modules": [good, wrong] }).to_string().into_bytes()
    };
    for (body, told) in [
        (with("name", json!("Good")), "modules[1].name:"),
        (with("file_path", json!("m.wasm")), "modules[1].file_path:"),
        (with("module_type", json!("Policy")), "modules[1].module_type:"),
        (with("attach_points", json!([])), "modules[1].attach_points:"),
        (with("surprise", json!(1)), "modules[1].surprise:"),
        (b"{\"modules\": []}".to_vec(), "modules:"),
        (b"{}".to_vec(), "modules: is missing"),
        (b"[]".to_vec(), "an object is wanted"),
        (b"{\"modules\": [\xff]}".to_vec(), "not JSON"),
        (b"".to_vec(), "not JSON"),
        ([b"[".repeat(40), b"]".repeat(40)].concat(), "nested"),
    ] {
        let answer = agent.local("POST", "/wasm", &body);
        let error = answer.json();
        assert_eq!((answer.status, &error["type"]), (400, &json!("ValidationError")), "{}", answer.text());
        assert!(error["error"].as_str().unwrap().contains(told), "{told} is not in {error}");
        assert_eq!(error.get("modules"), None);
    }
    assert_eq!(names(agent), Vec::<String>::new());
    assert_eq!(delete(agent, "good").status, 400);
    assert_eq!(delete(agent, "00000000-0000-4000-8000-000000000000").status, 404);
    assert_eq!(delete(agent, "00000000-0000-4000-8000-00000000000%30").status, 404);
    let other = agent.local("PUT", "/wasm", b"");
    assert_eq!((other.status, other.header("allow")), (405, "POST, GET, HEAD".into()));
    assert_eq!(
        agent.post("/wasm", with("name", json!("other"))).status,
        404,
        "the public door has no such page"
    );
}

#[test]
fn without_roots_no_file_is_read() {
    let roots = tempfile::tempdir().unwrap();
    let site = Site::start(agent());
    let path = roots.path().join("m.wasm");
    fs::write(&path, middleware::continues(&[Point::Request])).unwrap();
    let answer = post(&site.agent, &[named("m", &path.display().to_string(), &["OnRequest"])]);
    assert_eq!(answer.status, 400);
    let error = answer.json()["modules"][0]["add_result"]["Error"].clone();
    assert!(error.as_str().unwrap().contains("wasm_roots is not set"), "{error}");
}

#[test]
fn a_device_of_little_memory_gives_a_module_what_it_has() {
    let roots = tempfile::tempdir().unwrap();
    let site = Site::start(agent().env("WASM_ROOTS", roots.path().display()).env("MAX_MEMORY_PAGES", 64));
    let path = roots.path().join("m.wasm");
    fs::write(&path, middleware::continues(&[Point::Request])).unwrap();
    let answer = post(&site.agent, &[named("m", &path.display().to_string(), &["OnRequest"])]);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_component_larger_than_may_be_fetched_is_not_read() {
    let roots = tempfile::tempdir().unwrap();
    let site =
        Site::start(agent().env("WASM_ROOTS", roots.path().display()).env("ARTIFACT_MAX_BYTES", 4_096));
    let path = roots.path().join("m.wasm");
    fs::write(&path, guests::noise(4_097)).unwrap();
    let answer = post(&site.agent, &[named("m", &path.display().to_string(), &["OnRequest"])]);
    let error = answer.json()["modules"][0]["add_result"]["Error"].clone();
    assert!(error.as_str().unwrap().contains("larger than 4096 bytes"), "{error}");
}

#[test]
fn modules_survive_a_restart_under_their_uuids() {
    let mut wasm = Wasm::start();
    let mark = Modify::default().set("x-mark", "yes").at(&[Point::Response]);
    let uuid = wasm.added("mark", &mark, &["OnResponse"]);
    // What is kept is the component, not the way to its file.
    fs::remove_file(wasm.roots.path().join("mark.wasm")).unwrap();
    wasm.site.agent.kill9();
    let agent = wasm.site.agent.again(|agent| agent);
    eventually("the module again", || {
        agent.request("GET", "/x").try_send().ok().filter(|answer| answer.header("x-mark") == "yes")
    });
    let module = listed(&agent)["modules"][0].clone();
    assert_eq!((&module["module_uuid"], &module["module_meta"]["name"]), (&json!(uuid), &json!("mark")));
    assert_eq!(delete(&agent, &uuid).status, 200);
    assert_eq!(names(&agent), Vec::<String>::new());
}

#[test]
fn the_hub_takes_a_modules_id_and_gives_it_back() {
    let wasm = Wasm::start();
    let agent = &wasm.site.agent;
    let mark = Modify::default().set("x-mark", "yes").at(&[Point::Response]);
    let uuid = wasm.added("mark", &mark, &["OnResponse"]);
    let function = wasm.site.function("mark", guests::answers("the hub's"));
    wasm.site.apply(2, |desired| desired.serving(function));
    assert_eq!(agent.get("/mark").text(), "the hub's");
    let refused = delete(agent, &uuid);
    assert_eq!((refused.status, &refused.json()["type"]), (409, &json!("ValidationError")));
    assert!(refused.json()["error"].as_str().unwrap().contains("origin twin"), "{}", refused.text());
    assert_eq!(names(agent), Vec::<String>::new());
    wasm.site.apply(3, |desired| desired.serving(wasm.site.function("target", guests::mirrors(200))));
    assert_eq!(names(agent), ["mark"]);
    eventually("the module again", || (agent.get("/target").header("x-mark") == "yes").then_some(()));
    assert_eq!(delete(agent, &uuid).status, 200);
}

#[test]
fn a_name_whose_module_failed_is_free_at_once() {
    let wasm = Wasm::start();
    let mark = Modify::default().set("x-mark", "yes").at(&[Point::Response]);
    let modules: Vec<Value> = (0..6)
        .map(|turn| {
            let bytes = if turn == 5 { mark.clone() } else { guests::noise(64 + turn) };
            named("m", &wasm.file(&format!("{turn}.wasm"), &bytes).display().to_string(), &["OnResponse"])
        })
        .collect();
    let told = post(&wasm.site.agent, &modules).json();
    let results: Vec<&Value> = told["modules"].as_array().unwrap().iter().map(|m| &m["add_result"]).collect();
    assert!(results[..5].iter().all(|result| result["Error"].is_string()), "{results:?}");
    assert!(results[5]["Success"].is_string(), "{results:?}");
    assert_eq!(wasm.get().header("x-mark"), "yes");
}
