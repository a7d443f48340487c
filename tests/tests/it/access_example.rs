//! The worked example of agent/API.md, run as it stands there: `twinlet api-key`, openssl and curl.

use std::process::Command;

use serde_json::Value;
use twinlet_tests::guests::{self, repository};
use twinlet_tests::{Site, keys};

use crate::agent;

/// The one block of a document that begins with these fences.
fn script() -> String {
    let text = std::fs::read_to_string(repository().join("agent/API.md")).unwrap();
    let mut blocks = text.split("```bash\n").skip(1);
    let block = blocks.next().unwrap().split("\n```").next().unwrap().to_owned();
    assert!(blocks.next().is_none(), "which of the scripts is the example?");
    block
}

fn twinlet(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_twinlet-agent")).args(args).output().unwrap()
}

/// What `twinlet api-key` says as JSON.
fn api_key(args: &[&str]) -> Value {
    let output = twinlet(&[&["api-key", "--json"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn is_there(tool: &str) -> bool {
    let found = Command::new(tool).arg(if tool == "openssl" { "version" } else { "--version" }).output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn the_documented_script_signs_what_the_agent_takes() {
    if let Some(missing) = ["bash", "openssl", "curl"].into_iter().find(|tool| !is_there(tool)) {
        eprintln!("*** LEFT OUT: the worked example; {missing} is not there ***");
        return;
    }
    let made = api_key(&["meter", "--route", "/api/*", "--hmac"]);
    let other = api_key(&["other", "--route", "/api/*", "--hmac"]);
    let builder = agent();
    let file = builder.state_dir().join("keys.toml");
    keys::write(&file, made["entry"].as_str().unwrap());
    let site = Site::start(builder.env("API_KEYS_FILE", file.display()));
    let function = site.function("fn", guests::mirrors(200));
    site.apply(1, |d| d.function(function).route("/api/*", "fn"));
    let run = |secret: &Value, env: &[(&str, &str)]| {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script()])
            .env("url", site.agent.url(""))
            .env("secret", secret.as_str().unwrap())
            .envs(env.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = run(&made["key"], &[]);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{}"), "{answer}");
    assert!(answer.contains("\r\nseen-query: name=Ann\r\n"), "{answer}");
    let env = [("method", "PUT"), ("path", "/api/a%20b"), ("query", ""), ("body", "")];
    let answer = run(&made["key"], &env);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("seen-path: /api/a%20b\r\n"), "{answer}");
    for (secret, env) in
        [(&other["key"], &[][..]), (&made["key"], &[("name", "other")]), (&made["key"], &[("path", "/x")])]
    {
        let answer = run(secret, env);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}

#[test]
fn a_key_that_was_made_opens_what_its_entry_says() {
    let made = api_key(&["web", "--route", "/fn", "--route", "/metrics"]);
    let builder = agent();
    let file = builder.state_dir().join("keys.toml");
    keys::write(&file, made["entry"].as_str().unwrap());
    let agent = builder.env("API_KEYS_FILE", file.display()).start();
    let asked = |path: &str, key: &str| agent.request("GET", path).header("x-api-key", key).send().status;
    let key = made["key"].as_str().unwrap();
    assert_eq!((asked("/fn", key), asked("/fn", "another"), asked("/other", key)), (404, 401, 401));
    assert!(!made["entry"].as_str().unwrap().contains(key), "the entry holds the key itself");
    let people = String::from_utf8(twinlet(&["api-key", "ops", "--admin"]).stdout).unwrap();
    assert!(people.contains("admin = true") && people.contains("[[key]]"), "{people}");
    assert_eq!(twinlet(&["api-key", "ops"]).status.code(), Some(2));
}
