//! Functions are invoked now, and their results asked for later.

use serde_json::{Value, json};
use twinlet_tests::{Agent, Response, eventually, guests};

use super::{assert_text, at_once, create, get, invoke, invoke_with, post, with, with_one};
use crate::agent;

fn poll(agent: &Agent, id: &str) -> Response {
    get(agent, &format!("/poll/{id}"))
}

/// The id that an answer promises a result under.
fn promised(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    let id = told["ReqId"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    let (function, number) = id.split_once('-').unwrap();
    assert_eq!((function, number.parse::<u64>().is_ok()), ("fn", true), "{id}");
    assert_eq!(told.as_object().unwrap().len(), 1);
    id
}

/// Waits for a result.
fn result(agent: &Agent, id: &str) -> Value {
    let answer = eventually("the result", || {
        let answer = poll(agent, id);
        if answer.status == 404 {
            assert_text(&answer, 404, "Results not found.");
            return None;
        }
        Some(answer)
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_result_is_there_when_it_is_there_and_has_the_fields_of_any_other() {
    let agent = with(&guests::dawdles(500, "slept"));
    let id = promised(&invoke(&agent, &json!({ "Async": true })));
    assert_text(&poll(&agent, &id), 404, "Results not found.");
    let told = result(&agent, &id);
    assert_eq!((&told["Success"], &told["Result"]), (&json!(true), &json!("slept")), "{told}");
    assert!(told["Duration"].as_f64().unwrap() >= 0.5, "{told}");
    let now = invoke(&agent, &json!({})).json();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&told), fields(&now));
    assert_eq!(result(&agent, &id), told, "it can be asked for again");
    for unknown in ["fn-1", "fn", "-", "..", &id[..id.len() - 1], &"x".repeat(5_000)] {
        assert_text(&poll(&agent, unknown), 404, "Results not found.");
    }
}

#[test]
fn an_invocation_that_fails_has_a_result_that_says_so() {
    let agent = with(&guests::returns_error("out of cheese"));
    let told = result(&agent, &promised(&invoke(&agent, &json!({ "Async": true }))));
    assert_eq!(told["Success"], false);
    assert_eq!(told["Result"], "Invocation failed: it returned an error: out of cheese");
}

#[test]
fn what_was_printed_comes_with_the_result() {
    let agent = with(&guests::prints(1));
    let asked = json!({ "Async": true, "ReturnOutput": true });
    let told = result(&agent, &promised(&invoke_with(&agent, json!({ "a": 1 }), &asked)));
    assert_eq!(told["Output"], "{\"a\":1}/invoke/fn", "{told}");
}

#[test]
fn a_result_that_is_too_large_is_told_as_failed() {
    let agent = with(&guests::mirrors(200));
    let told = |length: usize| {
        let params = json!({ "x": "x".repeat(length) });
        result(&agent, &promised(&invoke_with(&agent, params, &json!({ "Async": true }))))
    };
    assert_eq!(told(60_000)["Success"], true);
    let large = told(66_000);
    assert_eq!(large["Success"], false);
    assert!(large["Result"].as_str().unwrap().contains("66008 bytes"), "{}", large["Result"]);
}

#[test]
fn a_power_cut_takes_no_result_and_no_promise() {
    let mut agent = agent().start();
    create(&agent, "fn", &guests::answers("done"));
    let ids: Vec<String> = (0..5).map(|_| promised(&invoke(&agent, &json!({ "Async": true })))).collect();
    let before: Vec<Value> = ids.iter().map(|id| result(&agent, id)).collect();
    create(&agent, "slow", &guests::dawdles(4_000, "never seen"));
    let slow = post(&agent, "/invoke/slow", &json!({ "Params": {}, "Async": true })).json();
    let slow = slow["ReqId"].as_str().unwrap();
    // Not waited for: what was promised is on the disk when the promise is made.
    agent.kill9();
    let agent = agent.again(|builder| builder);
    let after: Vec<Value> = ids.iter().map(|id| result(&agent, id)).collect();
    assert_eq!(after, before);
    let told = result(&agent, slow);
    assert_eq!(told["Success"], false);
    assert_eq!(told["Result"], "Invocation failed: the agent was restarted before it ended");
    agent.answers("/readyz", 200);
    assert_eq!(result(&agent, &promised(&invoke(&agent, &json!({ "Async": true }))))["Result"], "done");
}

#[test]
fn a_result_outlives_its_function_and_an_orderly_restart() {
    let mut agent = with(&guests::answers("done"));
    let id = promised(&invoke(&agent, &json!({ "Async": true })));
    let before = result(&agent, &id);
    assert_eq!(post(&agent, "/delete", &json!({ "Name": "fn" })).status, 200);
    assert_eq!(result(&agent, &id), before);
    agent.sigterm();
    assert_eq!(agent.wait_exit(twinlet_tests::DEADLINE), 0);
    assert_eq!(result(&agent.again(|builder| builder), &id), before);
}

#[test]
fn what_finds_no_room_is_429_and_every_promise_is_kept() {
    let agent = with_one(&guests::dawdles(100, "x"), agent().env("HTTP_QUEUE", 4));
    let answers = at_once(20, |_| invoke(&agent, &json!({ "Async": true })));
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!taken.is_empty() && !refused.is_empty(), "{answers:?}");
    for answer in &refused {
        assert_text(answer, 429, "Not served because of excessive load: ");
    }
    for answer in &taken {
        assert_eq!(result(&agent, &promised(answer))["Result"], "x");
    }
}

#[test]
fn time_that_ends_in_the_queue_is_told_with_the_result() {
    let agent = with_one(&guests::dawdles(600, "x"), agent());
    let first = promised(&invoke(&agent, &json!({ "Async": true })));
    let busy = || (get(&agent, "/status").json()["AvailableWarmContainers"]["fn"] == 0).then_some(());
    eventually("the one instance at work", busy);
    let second = promised(&invoke(&agent, &json!({ "Async": true, "QoSMaxRespT": 0.05 })));
    let told = result(&agent, &second);
    assert_eq!(told["Success"], false);
    assert!(told["Result"].as_str().unwrap().contains("waited in the queue"), "{told}");
    assert_eq!(result(&agent, &first)["Success"], true);
}
