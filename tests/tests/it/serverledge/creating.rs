//! Functions come and go.

use base64::Engine as _;
use serde_json::{Value, json};
use twinlet_tests::guests::{self, actors};
use twinlet_tests::{ArtifactServer, Site};

use super::{assert_text, at_once, create, create_of, function, get, invoke, invoke_with, names, post, with};
use crate::{agent, site};

#[test]
fn a_function_is_created_listed_invoked_and_deleted() {
    let agent = with(&guests::mirrors(200));
    assert_eq!(names(&agent), json!(["fn"]));
    let answer = invoke_with(&agent, json!({ "n": 7 }), &json!({}));
    assert_eq!((answer.status, answer.json()["Result"].as_str()), (200, Some(r#"{"n":7}"#)));
    let delete = || post(&agent, "/delete", &json!({ "Name": "fn" }));
    let deleted = delete();
    assert_eq!((deleted.status, deleted.json()), (200, json!({ "Deleted": "fn" })));
    assert_eq!(names(&agent), json!([]));
    assert_text(&invoke(&agent, &json!({})), 404, "Function unknown.");
    assert_text(&delete(), 404, "Unknown function.");
}

#[test]
fn a_name_that_was_deleted_is_free_for_another_function() {
    let agent = with(&guests::answers("first"));
    for text in ["second", "third", "fourth", "fifth", "sixth"] {
        assert_eq!(post(&agent, "/delete", &json!({ "Name": "fn" })).status, 200);
        create(&agent, "fn", &guests::answers(text));
        assert_eq!(invoke(&agent, &json!({})).json()["Result"], text, "the one before must not answer");
    }
}

#[test]
fn functions_of_every_kind_take_their_params_as_a_body() {
    let agent = agent().start();
    // The last segment of its path, which is its name, says what it does.
    create(&agent, "echo", &guests::prebuilt("hello-proxy"));
    create(&agent, "actor", &actors::echoes());
    create(&agent, "quiet", &actors::says_nothing());
    let body = json!({ "Params": { "a": [1, "ü"] } });
    let proxied = post(&agent, "/invoke/echo", &body).json();
    assert_eq!(proxied["Result"], r#"{"a":[1,"ü"]}"#, "{proxied}");
    assert!(proxied["Duration"].as_f64().is_some_and(|d| d > 0.0), "{proxied}");
    let echoed = post(&agent, "/invoke/actor", &body).json();
    assert_eq!(echoed["Result"], r#"{"a":[1,"ü"]}"#, "{echoed}");
    assert_eq!((&echoed["IsWarmStart"], &echoed["InitTime"]), (&json!(true), &json!(0.0)), "{echoed}");
    assert_eq!(post(&agent, "/invoke/quiet", &body).json()["Result"], "", "`noreply` is no failure");
}

#[test]
fn of_many_that_create_the_same_function_one_does() {
    let agent = agent().start();
    let body = function("fn", &guests::answers("x"));
    let mut answers = at_once(6, |_| post(&agent, "/create", &body));
    answers.sort_by_key(|answer| answer.status);
    assert_eq!((answers[0].status, answers[0].json()), (200, json!({ "Created": "fn" })));
    for refused in &answers[1..] {
        assert_text(refused, 409, "function `fn` exists already");
    }
    assert_eq!(names(&agent), json!(["fn"]));
    assert_eq!(invoke(&agent, &json!({})).json()["Result"], "x");
}

#[test]
fn there_is_one_runtime() {
    let agent = agent().start();
    for runtime in ["python310", "custom", "nodejs17ng", "", "WASM", &"x".repeat(100_000)] {
        let mut body = function("fn", b"whatever that one runs");
        body["Runtime"] = runtime.into();
        body["Handler"] = "module.function".into();
        let answer = post(&agent, "/create", &body);
        assert_text(&answer, 404, "Invalid runtime.");
        assert_eq!(answer.text(), "Invalid runtime.");
    }
    assert_eq!(names(&agent), json!([]));
}

#[test]
fn what_does_not_get_to_run_leaves_its_name_free() {
    let agent = agent().start();
    for component in [guests::imports_unknown(), guests::traps_at_start()] {
        assert_text(&post(&agent, "/create", &function("fn", &component)), 503, "Creation failed: ");
        assert_eq!(names(&agent), json!([]));
    }
    let mut torn = guests::answers("x");
    torn.truncate(torn.len() / 2);
    assert_text(&post(&agent, "/create", &function("fn", &torn)), 503, "Creation failed: ");
    create(&agent, "fn", &guests::answers("x"));
}

#[test]
fn an_image_is_fetched_and_must_be_what_its_digest_says() {
    let agent = agent().start();
    let server = ArtifactServer::start();
    let artifact = server.serve("f.wasm", guests::answers("fetched"));
    let image = |digest: &str| {
        json!({ "Name": "fn", "Runtime": "wasm", "MemoryMB": 16,
                "CustomImage": format!("{}@sha256:{digest}", artifact.url), "TarFunctionCode": "" })
    };
    assert_text(&post(&agent, "/create", &image(&"0".repeat(64))), 503, "Creation failed: ");
    create_of(&agent, &image(&artifact.sha256));
    assert_eq!(invoke(&agent, &json!({})).json()["Result"], "fetched");
}

#[test]
fn memory_is_in_megabytes_and_bounded_by_the_device() {
    let agent = agent().env("MAX_MEMORY_PAGES", 64).start();
    let mut body = function("fn", &guests::grows());
    body["MemoryMB"] = 2.into();
    create_of(&agent, &body);
    // 32 pages, as four little-endian bytes.
    assert_eq!(invoke(&agent, &json!({})).json()["Result"], " \0\0\0");
    body["Name"] = "large".into();
    body["MemoryMB"] = 5.into();
    let refused = post(&agent, "/create", &body);
    assert_eq!(refused.status, 400);
    let why = refused.json()["error"].to_string();
    assert!(why.contains("MemoryMB: a whole number from 1 to 4 is wanted"), "{why}");
}

#[test]
fn a_handler_names_what_of_a_component_is_called() {
    let agent = agent().start();
    let mut body = function("fn", &guests::answers("x"));
    body["Handler"] = "http-handler".into();
    create_of(&agent, &body);
    body["Name"] = "other".into();
    body["Handler"] = "actor".into();
    let told = post(&agent, "/create", &body);
    assert_text(&told, 503, "Creation failed: ");
    assert!(told.text().contains("exports no twinlet:device/actor"), "{}", told.text());
    body["Handler"] = "module.function".into();
    let refused = post(&agent, "/create", &body);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("Handler: "), "{}", refused.text());
    assert_eq!(names(&agent), json!(["fn"]));
}

#[test]
fn what_the_hub_asks_for_is_the_hubs() {
    let site: Site = site().serving("fn", guests::answers("hub's"));
    let agent = &site.agent;
    let created = post(agent, "/create", &function("fn", &guests::answers("mine")));
    assert_text(&created, 409, "function `fn` exists already, by the twin");
    assert_text(&post(agent, "/delete", &json!({ "Name": "fn" })), 409, "function `fn` belongs to the hub");
    create(agent, "mine", &guests::answers("mine"));
    assert_eq!(names(agent), json!(["fn", "mine"]));
    assert_eq!(invoke(agent, &json!({})).json()["Result"], "hub's");
}

#[test]
fn what_was_created_outlives_a_power_cut() {
    let mut agent = with(&guests::answers("still here"));
    agent.kill9();
    let agent = agent.again(|builder| builder);
    agent.answers("/readyz", 200);
    assert_eq!(names(&agent), json!(["fn"]));
    assert_eq!(invoke(&agent, &json!({})).json()["Result"], "still here");
}

#[test]
fn an_archive_that_is_not_what_it_should_be_is_refused_and_leaves_nothing() {
    let agent = agent().start();
    let wasm = guests::answers("x");
    let file = |name: &str, kind: tar::EntryType, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        let mut entry = [header.as_bytes(), bytes].concat();
        entry.resize(entry.len().next_multiple_of(512), 0);
        entry
    };
    let regular = |name: &str| file(name, tar::EntryType::Regular, &wasm);
    let link = file("f.wasm", tar::EntryType::Symlink, b"");
    let mut bomb = regular("f.wasm");
    bomb[124..136].copy_from_slice(b"77777777777\0");
    let sum: u32 = bomb[..512]
        .iter()
        .enumerate()
        .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
        .sum();
    bomb[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    for (archive, why) in [
        (regular("../../../../etc/f.wasm"), "leads out of the archive"),
        (regular("/f.wasm"), "leads out of the archive"),
        ([link, regular("f.wasm")].concat(), "neither a file nor a folder"),
        ([regular("a.wasm"), regular("b.wasm")].concat(), "a second file"),
        ([regular("f.wasm"), vec![0; 1024], b"more".to_vec()].concat(), "follows the archive's end"),
        (bomb, "longer than the archive"),
        (regular("f.so"), "not a .wasm file"),
        (file("f.wasm", tar::EntryType::Regular, &guests::not_a_component()), "no WebAssembly component"),
        (Vec::new(), "no file in it"),
        (guests::noise(5_000), "TAR"),
    ] {
        let mut body = function("fn", b"");
        body["TarFunctionCode"] = base64::engine::general_purpose::STANDARD.encode(archive).into();
        if body["TarFunctionCode"] == "" {
            continue;
        }
        let refused = post(&agent, "/create", &body);
        let told = refused.text();
        assert_eq!(refused.status, 400, "{why}: {told}");
        assert!(told.contains("TarFunctionCode: ") && told.contains(why), "{why}: {told}");
    }
    assert_eq!(names(&agent), json!([]));
    let artifacts = agent.state_dir().join("artifacts");
    assert_eq!(std::fs::read_dir(artifacts).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_body_over_the_limit_is_413() {
    let agent = agent().env("API_MAX_BODY_BYTES", 100_000).start();
    let large = json!({ "Name": "fn", "TarFunctionCode": "A".repeat(200_000) });
    assert_eq!(post(&agent, "/create", &large).status, 413);
    create(&agent, "fn", &guests::answers("x"));
    let params = json!({ "Params": { "x": "x".repeat(99_990) } });
    assert_eq!(post(&agent, "/invoke/fn", &params).status, 413);
}

#[test]
fn the_status_tells_what_the_node_has() {
    let agent = with(&guests::answers("x"));
    create(&agent, "actor", &actors::echoes());
    let answer = get(&agent, "/status");
    assert_eq!(answer.status, 200);
    let status: Value = answer.json();
    assert_eq!(status["Url"], "http://localhost");
    assert_eq!(status["AvailableWarmContainers"], json!({ "fn": 1, "actor": 1 }));
    assert_eq!(status["Coordinates"], json!({ "Vec": [0, 0, 0], "Error": 1.5, "Height": 0.000_01 }));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(status["AvailableCPUs"], cores);
    let memory = status["AvailableMemMB"].as_u64().unwrap();
    assert!((16..1 << 24).contains(&memory), "{memory}");
    let load: Vec<f64> = status["LoadAvg"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect();
    assert!(load.len() == 3 && load.iter().all(|l| (0.0..10_000.0).contains(l)), "{load:?}");
}

#[test]
fn other_methods_are_405_and_the_public_door_knows_none_of_it() {
    let agent = agent().start();
    for (path, method, allow) in [
        ("/create", "GET", "POST"),
        ("/delete", "DELETE", "POST"),
        ("/invoke/fn", "GET", "POST"),
        ("/prewarm", "PUT", "POST"),
        ("/poll/x", "POST", "GET, HEAD"),
        ("/status", "POST", "GET, HEAD"),
        ("/functions", "POST", "GET, HEAD"),
    ] {
        let answer = agent.local(method, path, b"");
        assert_eq!((answer.status, answer.header("allow").as_str()), (405, allow), "{method} {path}");
        assert!(agent.request("POST", path).body("{}").send().status >= 400, "{path}");
    }
    assert_eq!(agent.get("/functions").json()["error"], "Route not found");
}
