//! A device that trusts keys: what nobody has signed does not run, whoever has the broker's password; what was signed
//! does not go back by itself; and what a key has let in goes with the key.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use twinlet_tests::guests;
use twinlet_tests::guests::middleware::{self, Point};
use twinlet_tests::{AgentBuilder, Cli, Desired, Function, Site};

use crate::{agent, site, twinlet};

fn cli() -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"))
}

/// Who releases functions: a key as `twinlet keygen` makes it.
struct Release {
    dir: TempDir,
    /// The line for the file of trusted keys.
    line: String,
}

impl Release {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.pem");
        let said = cli().run(&["keygen", "--out", key.to_str().unwrap()]).done();
        Self { dir, line: said.out }
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// A document or deployment message with the signatures that `twinlet sign` gives it.
    fn sign(&self, document: impl Into<Value>) -> Value {
        let key = self.key();
        let args = ["sign", "--key", key.to_str().unwrap(), "--document", "-"];
        cli().run_with(&args, &document.into().to_string()).done().json()
    }

    /// A signature alone, as it is printed.
    fn signature(&self, id: &str, version: u64, sha256: &str) -> String {
        let (key, version) = (self.key(), version.to_string());
        let args = ["sign", "--key", key.to_str().unwrap(), "--function", id, "--version", &version, sha256];
        cli().run(&args).done().out.trim_end().to_owned()
    }
}

#[test]
fn what_can_not_be_signed_is_told_with_its_reason() {
    let release = Release::new();
    let key = release.key();
    let args = ["sign", "--key", key.to_str().unwrap(), "--document", "-"];
    let function = json!({ "version": 1, "artifact_url": "a.wasm", "sha256": "zz" });
    let said = cli().run_with(&args, &json!({ "$version": 1, "functions": { "a": function } }).to_string());
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("-: functions.a: sha256: `zz` is not a sha256"), "{}", said.err);
}

/// An agent that takes nothing of the hub's but what these have signed.
fn trusting(releases: &[&Release]) -> AgentBuilder {
    let builder = agent();
    let file = builder.state_dir().join("trusted-keys");
    trust(&file, releases);
    builder.env("TRUSTED_KEYS_FILE", file.display()).env("REQUIRE_SIGNATURES", true)
}

fn trust(file: &Path, releases: &[&Release]) {
    let lines: String = releases.iter().map(|release| format!("# a release\n{}", release.line)).collect();
    fs::write(file, lines).unwrap();
}

/// Waits until a message was refused for this.
fn refused(site: &Site, mark: usize, code: u64, why: &str) {
    site.hub.reported_after(mark, why, |r| {
        let status = &r["lastDesiredStatus"];
        status["code"] == code && status["description"].as_str().is_some_and(|text| text.contains(why))
    });
}

#[test]
fn nothing_runs_that_nobody_trusted_has_signed() {
    let (ours, theirs) = (Release::new(), Release::new());
    let site = Site::start(trusting(&[&ours]));
    let (missing, odd, wrong) =
        ("signature: is missing", "signature: is not a signature", "signature: is not valid");
    let signature = |id: &str, sha256: &str| match id {
        "unsigned" => None,
        "odd" => Some("hunter2".to_owned()),
        "stolen" => Some(theirs.signature(id, 1, sha256)),
        "another" => Some(ours.signature("unsigned", 1, sha256)),
        "newer" => Some(ours.signature(id, 2, sha256)),
        _ => Some(ours.signature(id, 1, &"cd".repeat(32))),
    };
    let cases = [
        ("unsigned", missing),
        ("odd", odd),
        ("stolen", wrong),
        ("another", wrong),
        ("newer", wrong),
        ("changed", wrong),
    ];
    for (version, (id, why)) in (1..).zip(cases) {
        let artifact = site.artifact(id, guests::answers("not ours"));
        let function = Function::of(id, &artifact);
        let function = match signature(id, &artifact.sha256) {
            Some(signature) => function.set("signature", signature),
            None => function,
        };
        let mark = site.hub.mark();
        site.hub.deploy(function.notification());
        refused(&site, mark, 400, &format!("deployment of {id}: {why}"));
        let mark = site.hub.mark();
        site.hub.publish_desired(Desired::version(version).serving(function));
        refused(&site, mark, 400, &format!("functions.{id}.{why}"));
        assert_eq!(site.artifacts.requests(&format!("{id}.wasm")), 0, "{id} was fetched");
        assert_eq!(site.agent.get(&format!("/{id}")).status, 404, "{id}");
    }
    let why = twinlet(&site.agent).run(&["why", "changed"]);
    assert!(why.out.contains("refused (400)") && why.out.contains("TRUSTED_KEYS_FILE"), "{why:?}");

    let function = site.function("fn", guests::answers("ours"));
    site.hub.publish_desired(ours.sign(Desired::version(1).serving(function)));
    site.hub.applied(1);
    site.agent.says("/fn", "ours");
    let why = twinlet(&site.agent).run(&["why", "fn"]).done();
    assert!(why.out.contains("signed by a trusted key"), "{why:?}");
    // A patch that changes what is signed needs a signature of its own.
    let mark = site.hub.mark();
    site.hub.publish_patch(json!({ "$version": 2, "functions": { "fn": { "version": 2 } } }));
    refused(&site, mark, 400, "functions.fn.signature: is not valid");
    site.hub.publish_patch(json!({ "$version": 2, "functions": { "fn": { "memory_pages": 64 } } }));
    site.hub.applied(2);
    site.agent.says("/fn", "ours");
}

#[test]
fn what_was_signed_does_not_go_back_by_itself() {
    let ours = Release::new();
    let mut site = Site::start(trusting(&[&ours]));
    let old = site.artifact("old", guests::answers("old"));
    let new = site.artifact("new", guests::answers("new"));
    let version = |n: u64| Function::of("fn", if n == 1 { &old } else { &new }).version(n);
    let document = |at: u64, n: u64| ours.sign(Desired::version(at).serving(version(n)));
    site.hub.publish_desired(document(1, 2));
    site.hub.applied(1);
    let mark = site.hub.mark();
    site.hub.publish_desired(document(2, 1));
    refused(&site, mark, 409, "functions.fn.version: 1 is older than 2, which was accepted");
    let mark = site.hub.mark();
    site.hub.deploy(ours.sign(version(1).notification()));
    refused(&site, mark, 409, "deployment of fn: version: 1 is older than 2");
    site.agent.says("/fn", "new");

    // Neither its removal nor a restart makes the old one good again.
    site.apply(3, |d| d);
    site.agent.kill9();
    site.agent = site.agent.again(|agent| agent);
    let mark = site.hub.mark();
    site.hub.publish_desired(document(4, 1));
    refused(&site, mark, 409, "functions.fn.version: 1 is older than 2");
    assert_eq!(site.artifacts.requests("old.wasm"), 0);
    let document = Desired::version(5).serving(version(1)).set("allow_downgrade", true);
    site.hub.publish_desired(ours.sign(document));
    site.hub.applied(5);
    site.agent.says("/fn", "old");
}

#[test]
fn without_keys_an_older_version_is_refused_while_the_newer_stands() {
    let site = site();
    let (old, new) =
        (site.artifact("old", guests::answers("old")), site.artifact("new", guests::answers("new")));
    site.apply(1, |d| d.serving(Function::of("fn", &new).version(2)));
    let mark = site.hub.mark();
    site.hub.publish_desired(Desired::version(2).serving(Function::of("fn", &old)));
    refused(&site, mark, 409, "functions.fn.version: 1 is older than 2, which was accepted");
    site.agent.says("/fn", "new");
    site.apply(3, |d| d.serving(Function::of("fn", &old)).set("allow_downgrade", true));
    site.agent.says("/fn", "old");
    // What is away is forgotten where nobody has signed it.
    site.apply(4, |d| d.serving(Function::of("fn", &new).version(2)));
    site.apply(5, |d| d);
    site.apply(6, |d| d.serving(Function::of("fn", &old)));
    site.agent.says("/fn", "old");
}

#[test]
fn what_a_key_has_let_in_goes_with_the_key() {
    let (kept, revoked) = (Release::new(), Release::new());
    let mut site = Site::start(trusting(&[&kept, &revoked]));
    let file = site.agent.state_dir().join("trusted-keys");
    let (one, two) = (site.function("one", guests::answers("1")), site.function("two", guests::keeps()));
    let two = revoked.sign(Desired::version(1).function(two))["functions"]["two"].clone();
    let mut document = kept.sign(Desired::version(1).serving(one).route("/two", "two"));
    document["functions"]["two"] = two;
    site.hub.publish_desired(document);
    site.hub.applied(1);
    assert_eq!(site.agent.post("/two", "kept").status, 200);

    trust(&file, &[&kept]);
    let left_out = "functions.two: its signature is not valid";
    let mark = site.hub.mark();
    site.agent.sighup();
    refused(&site, mark, 400, left_out);
    site.agent.answers("/two", 404);
    site.agent.says("/one", "1");

    site.agent.kill9();
    let mark = site.hub.mark();
    site.agent = site.agent.again(|agent| agent);
    refused(&site, mark, 400, left_out);
    site.agent.says("/one", "1");
    assert_eq!(site.agent.get("/two").status, 404);
    let why = twinlet(&site.agent).run(&["why", "two"]);
    assert!(why.out.contains("its signature is not valid"), "{why:?}");

    let mark = site.hub.mark();
    fs::write(&file, "not a key").unwrap();
    let log = site.agent.mark();
    site.agent.sighup();
    let told = site.agent.log_line_after(log, "the wrong file", |line| line.contains("keys of before stay"));
    assert!(told.contains("line 1: is not an Ed25519 public key"), "{told}");
    trust(&file, &[&revoked, &kept]);
    site.agent.sighup();
    // It finds what it has kept.
    site.agent.says("/two", "kept");
    site.hub.reported_after(mark, "all of it again", |r| r["lastDesiredStatus"]["code"] == 200);
}

#[test]
fn a_guard_whose_key_is_gone_leaves_nothing_open() {
    let (kept, revoked) = (Release::new(), Release::new());
    let mut site = Site::start(trusting(&[&kept, &revoked]));
    let guard = site.function("guard", middleware::continues(&[Point::Request]));
    let guard = revoked.sign(Desired::version(1).function(guard))["functions"]["guard"].clone();
    let function = site.function("fn", guests::answers("guarded"));
    let chain = json!({ "m": { "function_id": "guard", "attach": ["on-request"], "paths": ["/fn"] } });
    let mut document = kept.sign(Desired::version(1).serving(function).set("middleware", chain));
    document["functions"]["guard"] = guard;
    site.hub.publish_desired(document);
    site.hub.applied(1);
    site.agent.says("/fn", "guarded");

    trust(&site.agent.state_dir().join("trusted-keys"), &[&kept]);
    let mark = site.hub.mark();
    site.agent.sighup();
    refused(&site, mark, 400, "functions.guard: its signature is not valid");
    site.agent.answers("/fn", 503);
    site.agent.kill9();
    let mark = site.hub.mark();
    site.agent = site.agent.again(|agent| agent);
    refused(&site, mark, 400, "functions.guard: its signature is not valid");
    site.hub.phase("fn", 1, "running");
    assert_eq!(site.agent.get("/fn").status, 503);
}

#[test]
fn whoever_can_open_the_local_socket_needs_no_signature() {
    let ours = Release::new();
    let site = Site::start(trusting(&[&ours]));
    let put = |id: &str| {
        let component = guests::answers("here");
        site.agent.local("PUT", &format!("/twinlet/functions/{id}?route=/{id}"), &component).status
    };
    assert_eq!(put("mine"), 200);
    site.agent.says("/mine", "here");
    // The hub, which needs one, gets no further by the component that is on the device now.
    let mark = site.hub.mark();
    let artifact = site.artifact("copy", guests::answers("here"));
    let url = format!("upload://{}", artifact.sha256);
    site.hub.deploy(Function::of("copy", &artifact).set("artifact_url", url).notification());
    refused(&site, mark, 400, "deployment of copy: signature: is missing");
}
