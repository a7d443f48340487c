//! The command line, where it changes what runs: a module author's loop, and what is refused on the way.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use twinlet_tests::{guests, http};

use crate::{agent, site, twinlet};

/// A folder with components in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file, as a compiler does: under another name first.
    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let (path, other): (PathBuf, PathBuf) = (self.0.path().join(name), self.0.path().join("partial"));
        std::fs::write(&other, bytes).unwrap();
        std::fs::rename(&other, &path).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What the `curl` line of a deployment asks for, asked for.
fn follow_curl(line: &str) -> http::Response {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [curl, flag, socket, url] = words[..] else { panic!("no curl line: {line}") };
    assert_eq!([curl, flag], ["curl", "--unix-socket"]);
    let path = url.trim_matches('\'').strip_prefix("http://localhost").unwrap();
    http::over_unix(Path::new(socket), "GET", path, b"").unwrap()
}

#[test]
fn a_component_is_deployed_called_replaced_and_deleted() {
    let (agent, folder) = (agent().start(), Folder::new());
    let cli = twinlet(&agent);
    let file = folder.put("My Hello.wasm", &guests::answers("one"));
    let said = cli.run(&["deploy", &file, "--route", "/hi", "--route", "/ho/*"]).done();
    assert!(said.out.starts_with("my-hello version 1 runs; it was ready in "), "{said:?}");
    let curls: Vec<&str> = said.out.lines().skip(1).collect();
    assert_eq!(curls.len(), 2, "{said:?}");
    for line in curls {
        assert_eq!(follow_curl(line).text(), "one", "{line}");
    }
    assert!(said.err.contains("my-hello: sending "), "{said:?}");

    folder.put("My Hello.wasm", &guests::answers("two"));
    let again = cli.run(&["deploy", &file, "--route", "/hi", "--json"]).done().json();
    assert_eq!((&again["id"], &again["version"]), (&"my-hello".into(), &2.into()));
    assert_eq!(agent.get("/hi").text(), "two");
    assert_eq!(agent.get("/ho/x").status, 404, "what is not asked for again is not kept");
    assert_eq!(cli.run(&["functions", "--json"]).json()["functions"][0]["origin"], "api");

    assert_eq!(cli.run(&["delete", "my-hello"]).done().out, "my-hello is deleted, with its routes\n");
    agent.answers("/hi", 404);
    let gone = cli.run(&["delete", "my-hello"]);
    assert_eq!((gone.code, gone.out.as_str()), (1, ""));
    assert!(gone.err.contains("no function `my-hello`"), "{gone:?}");
}

#[test]
fn every_setting_of_a_deployment_gets_there() {
    let (agent, folder) = (agent().start(), Folder::new());
    let cli = twinlet(&agent);
    let file = folder.put("fn.wasm", &guests::answers("x"));
    let config = folder.put("config.json", br#"{ "greeting": "Moin & mehr" }"#);
    let config = format!("@{config}");
    let mut args = vec!["deploy", &file, "--name", "other", "--route", "/a b", "--method", "POST"];
    args.extend(["--memory-pages", "40", "--max-execution-ms", "1234", "--config", &config, "--telemetry"]);
    args.extend(["--http", "https://api.example.com/*"]);
    let refused = cli.run(&args);
    assert_eq!(refused.code, 1, "a path has no blanks: {refused:?}");
    args[5] = "/a-b";
    cli.run(&args).done();
    let function = &cli.run(&["functions", "--json"]).done().json()["functions"][0];
    assert_eq!(function["id"], "other");
    assert_eq!((&function["memory_pages"], &function["max_execution_ms"]), (&40.into(), &1234.into()));
    assert_eq!(function["routes"][0]["methods"], serde_json::json!(["POST"]));
    assert_eq!((agent.post("/a-b", "").text().as_str(), agent.get("/a-b").status), ("x", 405));
}

#[test]
fn what_can_not_be_deployed_changes_nothing() {
    let (site, folder) = (site().serving("hubs", guests::answers("the hub's")), Folder::new());
    let cli = twinlet(&site.agent);
    let good = folder.put("hubs.wasm", &guests::answers("mine"));
    let refused = |args: &[&str], why: &str| {
        let said = cli.run(&[&["deploy"], args].concat());
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{args:?}: {said:?}");
        assert!(said.err.contains(why), "{args:?}: {said:?}");
    };
    refused(&[&good], "hub");
    refused(&[&folder.put("text.wasm", b"hello")], "not a WebAssembly component");
    refused(&[&folder.put("core.wasm", &guests::not_a_component())], "component");
    refused(&[&folder.put("trap.wasm", &guests::traps_at_start())], "unreachable");
    refused(&[&folder.put("ü.wasm", b"")], "--name");
    refused(&["/not/there.wasm"], "/not/there.wasm: No such file");
    refused(&[&good, "--name", "no such id"], "id");
    refused(&[&good, "--name", "x", "--route", "no-slash"], "path");
    refused(&[&good, "--name", "x", "--config", "{"], "--config: not JSON");
    refused(&[&good, "--name", "x", "--config", "[]"], "config");
    refused(&[&good, "--name", "x", "--memory-pages", "0"], "memory_pages");
    assert_eq!(cli.run(&["deploy", &good, "--memory-pages", "many"]).code, 2);
    let deleted = cli.run(&["delete", "hubs"]);
    assert_eq!(deleted.code, 1);
    assert!(deleted.err.contains("hub"), "{deleted:?}");
    assert_eq!(cli.run(&["status", "--json"]).json()["functions"]["total"], 1);
    assert_eq!(site.agent.get("/hubs").text(), "the hub's");
}

#[test]
fn a_component_larger_than_the_agent_takes_is_refused_in_words() {
    let (agent, folder) = (agent().env("API_MAX_BODY_BYTES", 100_000).start(), Folder::new());
    let mut bytes = b"\0asm".to_vec();
    bytes.resize(5_000_000, 0);
    let said = twinlet(&agent).run(&["deploy", &folder.put("big.wasm", &bytes)]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("larger than 100000 bytes"), "{said:?}");
}

#[test]
fn a_watched_file_is_deployed_whenever_it_changes() {
    let (agent, folder) = (agent().start(), Folder::new());
    let file = folder.put("fn.wasm", &guests::answers("one"));
    let watch = twinlet(&agent).start(&["deploy", &file, "--route", "/fn", "--watch"]);
    watch.says("fn version 1 runs");
    agent.says("/fn", "one");
    folder.put("fn.wasm", &guests::traps_at_start());
    watch.says("unreachable");
    assert_eq!(agent.get("/fn").text(), "one", "the last good one goes on");
    let mark = watch.mark();
    folder.put("fn.wasm", &guests::answers("three"));
    watch.says_after(mark, " runs; it was ready in ");
    agent.says("/fn", "three");
}

#[test]
fn a_function_is_invoked_by_its_name_now_and_for_later() {
    let (agent, folder) = (agent().start(), Folder::new());
    let cli = twinlet(&agent);
    cli.run(&["deploy", &folder.put("fn.wasm", &guests::answers("fine"))]).done();
    let said = cli.run(&["invoke", "fn", "--data", r#"{"n": 1}"#]).done();
    assert_eq!(said.out, "fine\n");
    assert!(said.err.contains(" ms in all; ") && said.err.contains(" ms in the function; "), "{said:?}");
    let report = cli.run(&["invoke", "fn", "--json", "--deadline", "2"]).done().json();
    assert_eq!((&report["Success"], &report["Result"]), (&true.into(), &"fine".into()));
    let promised = cli.run(&["invoke", "fn", "--async"]).done();
    assert!(promised.out.starts_with("fn-") && promised.err.contains(promised.out.trim()), "{promised:?}");
    assert_eq!(cli.run(&["invoke", "fn", "--async", "--wait"]).done().out, "fine\n");
    cli.run(&["deploy", &folder.put("bad.wasm", &guests::traps())]).done();
    for args in [&["invoke", "bad"] as &[&str], &["invoke", "bad", "--async", "--wait"]] {
        let failed = cli.run(args);
        assert_eq!((failed.code, failed.out.as_str()), (1, ""), "{args:?}: {failed:?}");
        assert!(failed.err.contains("unreachable"), "{args:?}: {failed:?}");
    }
    let unknown = cli.run(&["invoke", "nobody"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("no function `nobody`"), "{unknown:?}");
    assert!(cli.run(&["invoke", "fn", "--data", "[1]"]).err.contains("Params"));
}
