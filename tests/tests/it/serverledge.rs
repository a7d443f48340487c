//! Serverledge's API as its clients see it, through the real local door: every path of it, with real components.

mod bodies;
mod creating;
mod invoking;
mod later;
mod prewarming;

use std::thread;

use base64::Engine as _;
use serde_json::{Value, json};
use twinlet_tests::{Agent, Response};

use crate::agent;

/// A POST of JSON.
fn post(agent: &Agent, path: &str, body: &Value) -> Response {
    agent.local("POST", path, body.to_string().as_bytes())
}

/// A GET.
fn get(agent: &Agent, path: &str) -> Response {
    agent.local("GET", path, b"")
}

/// The archive that Serverledge's clients make of a function, in base64.
fn packed(component: &[u8]) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(component.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "function.wasm", component).unwrap();
    base64::engine::general_purpose::STANDARD.encode(builder.into_inner().unwrap())
}

/// What creates a function.
fn function(name: &str, component: &[u8]) -> Value {
    json!({ "Name": name, "Runtime": "wasm", "MemoryMB": 16, "TarFunctionCode": packed(component) })
}

/// Creates a function.
fn create(agent: &Agent, name: &str, component: &[u8]) {
    create_of(agent, &function(name, component));
}

/// Creates a function of these fields.
fn create_of(agent: &Agent, fields: &Value) {
    let created = post(agent, "/create", fields);
    assert_eq!((created.status, created.json()), (200, json!({ "Created": fields["Name"] })), "{created:?}");
}

/// An agent with one function `fn`.
fn with(component: &[u8]) -> Agent {
    let agent = agent().start();
    create(&agent, "fn", component);
    agent
}

/// An agent with one function `fn` of one instance.
fn with_one(component: &[u8], agent: twinlet_tests::AgentBuilder) -> Agent {
    let agent = agent.start();
    let mut fields = function("fn", component);
    fields["CPUDemand"] = 1.0.into();
    create_of(&agent, &fields);
    agent
}

/// Invokes `fn` with these fields beside its `Params`.
fn invoke(agent: &Agent, more: &Value) -> Response {
    invoke_with(agent, json!({}), more)
}

/// Invokes `fn` with these `Params` and these fields beside.
fn invoke_with(agent: &Agent, params: Value, more: &Value) -> Response {
    let mut body = more.clone();
    body["Params"] = params;
    post(agent, "/invoke/fn", &body)
}

/// The names of the functions that are there.
fn names(agent: &Agent) -> Value {
    let answer = get(agent, "/functions");
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Does the same so many times at once.
fn at_once<T: Send>(times: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let all: Vec<_> = (0..times).map(|n| scope.spawn(move || work(n))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Asserts a refusal in plain text that begins so.
fn assert_text(answer: &Response, status: u16, begins: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.header("content-type").starts_with("text/plain"), "{answer:?}");
    assert!(answer.text().starts_with(begins), "{}", answer.text());
}

/// How many invocations of `fn` ended so.
fn counted(agent: &Agent, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    agent.metrics().sum("twinlet_invocations_total", &["function_id=\"fn\"", &outcome])
}
