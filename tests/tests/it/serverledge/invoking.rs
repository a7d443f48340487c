//! Functions are invoked, and what that took is told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use twinlet_tests::guests::{self, actors};
use twinlet_tests::{Fault, Site};

use super::{assert_text, at_once, counted, create, get, invoke, invoke_with, post, with, with_one};
use crate::{agent, site};

/// A time of a response, in seconds.
fn seconds(answer: &Value, field: &str) -> f64 {
    answer[field].as_f64().unwrap_or_else(|| panic!("{field} in {answer}"))
}

#[test]
fn a_hot_instance_answers_warm_and_every_field_is_there() {
    let agent = with(&guests::answers("x"));
    for _ in 0..3 {
        let began = Instant::now();
        let answer = invoke(&agent, &json!({ "CanDoOffloading": true, "QoSClass": 3, "QoSMaxRespT": 4.0 }));
        let took = began.elapsed().as_secs_f64();
        let told = answer.json();
        let mut fields: Vec<&String> = told.as_object().unwrap().keys().collect();
        fields.sort();
        let wanted = [
            "Duration",
            "InitTime",
            "IsWarmStart",
            "OffloadLatency",
            "ResponseTime",
            "Result",
            "SchedAction",
            "Success",
        ];
        assert_eq!(fields, wanted);
        assert_eq!((answer.status, &told["Success"], &told["Result"]), (200, &json!(true), &json!("x")));
        assert_eq!((&told["IsWarmStart"], &told["OffloadLatency"]), (&json!(true), &json!(0)));
        assert_eq!((&told["SchedAction"], seconds(&told, "InitTime")), (&json!("local"), 0.0));
        let (duration, response) = (seconds(&told, "Duration"), seconds(&told, "ResponseTime"));
        assert!(0.0 < duration && duration <= response && response <= took, "{told}, and {took} here");
    }
    assert!(counted(&agent, "ok") >= 3.0);
}

#[test]
fn a_second_instance_starts_cold_and_the_guests_time_is_its_own() {
    let agent = with(&guests::dawdles(300, "x"));
    let answers: Vec<Value> = at_once(2, |_| invoke(&agent, &json!({})).json());
    let (warm, cold): (Vec<&Value>, Vec<&Value>) = answers.iter().partition(|a| a["IsWarmStart"] == true);
    assert_eq!((warm.len(), cold.len()), (1, 1), "{answers:?}");
    assert_eq!(seconds(warm[0], "InitTime"), 0.0);
    let (init, duration) = (seconds(cold[0], "InitTime"), seconds(cold[0], "Duration"));
    assert!(init > 0.0 && duration >= 0.3, "{answers:?}");
    assert!(init + duration <= seconds(cold[0], "ResponseTime"), "{answers:?}");
    let both_hot: Vec<Value> = at_once(2, |_| invoke(&agent, &json!({})).json());
    assert!(both_hot.iter().all(|a| a["IsWarmStart"] == true), "{both_hot:?}");
}

#[test]
fn the_time_in_the_queue_is_the_callers_and_not_the_guests() {
    let agent = with_one(&guests::dawdles(1_000, "x"), agent());
    let answers: Vec<Value> = at_once(2, |_| invoke(&agent, &json!({})).json());
    let beside = |a: &Value| seconds(a, "ResponseTime") - seconds(a, "Duration");
    assert!(answers.iter().all(|a| a["IsWarmStart"] == true && seconds(a, "Duration") >= 1.0), "{answers:?}");
    assert!(answers.iter().any(|a| beside(a) >= 0.2), "{answers:?}");
    assert!(answers.iter().any(|a| beside(a) < 0.2), "{answers:?}");
}

#[test]
fn a_guest_that_fails_is_500_and_told_why() {
    let agent = agent().start();
    create(&agent, "traps", &guests::traps());
    create(&agent, "errs", &guests::returns_error("out of cheese"));
    create(&agent, "missing", &guests::mirrors(404));
    create(&agent, "fails", &actors::fails());
    create(&agent, "auth", &guests::prebuilt("auth"));
    for (name, why) in [
        ("traps", "unreachable"),
        ("errs", "out of cheese"),
        ("missing", "it answered with the status 404: {\"k\":1}"),
        ("fails", "handle-call answered `err`"),
        ("auth", "middleware"),
    ] {
        let answer = post(&agent, &format!("/invoke/{name}"), &json!({ "Params": { "k": 1 } }));
        assert_text(&answer, 500, "Invocation failed: ");
        assert!(answer.text().contains(why), "{name}: {}", answer.text());
    }
    for unknown in ["nobody", "No", "..%2fetc", "%00"] {
        let answer = post(&agent, &format!("/invoke/{unknown}"), &json!({ "Params": {} }));
        assert_text(&answer, 404, "Function unknown.");
    }
}

#[test]
fn an_instance_that_trapped_is_gone_and_the_failure_counts_and_is_reported() {
    let site: Site = site().serving("fn", guests::traps());
    for _ in 0..2 {
        assert_text(&invoke(&site.agent, &json!({})), 500, "Invocation failed: ");
    }
    assert_eq!(counted(&site.agent, "error"), 2.0);
    site.hub.reported_where("the trap", |all| {
        all["functions"]["fn"]["lastError"].as_str().is_some_and(|e| e.contains("unreachable"))
    });
}

#[test]
fn a_caller_without_patience_stops_its_guest_which_is_not_the_functions_fault() {
    let site: Site = site().serving("fn", guests::spins());
    let agent = &site.agent;
    let began = Instant::now();
    let answer = invoke(agent, &json!({ "QoSMaxRespT": 0.2 }));
    let took = began.elapsed();
    assert_text(&answer, 500, "Invocation failed: it did not end within the 200 ms that were asked for");
    assert!((Duration::from_millis(200)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(counted(agent, "timeout"), 1.0);
    assert_eq!(site.hub.reported()["functions"]["fn"]["lastError"], Value::Null);
}

#[test]
fn a_caller_who_would_wait_for_longer_than_the_function_may_run_gets_no_more() {
    let site = site();
    let function = site.function("fn", guests::spins()).set("max_execution_ms", 200);
    site.apply(1, |d| d.serving(function));
    let answer = invoke(&site.agent, &json!({ "QoSMaxRespT": 1e300 }));
    assert_text(&answer, 500, "Invocation failed: it did not end within its 200 ms (max_execution_ms)");
}

#[test]
fn patience_that_ends_in_the_queue_is_429_and_in_time() {
    let agent = with_one(&guests::dawdles(2_000, "x"), agent());
    at_once(2, |n| {
        if n == 0 {
            assert_eq!(invoke(&agent, &json!({})).status, 200);
            return;
        }
        let busy = || (get(&agent, "/status").json()["AvailableWarmContainers"]["fn"] == 0).then_some(());
        twinlet_tests::eventually("the one instance at work", busy);
        let began = Instant::now();
        let answer = invoke(&agent, &json!({ "QoSMaxRespT": 0.2 }));
        assert_text(&answer, 429, "Not served because of excessive load: its time passed");
        assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    });
    // It was in the queue all the same, and is counted when it is taken out.
    agent.metrics_where("the late one counted", |m| {
        m.sum("twinlet_invocations_total", &["function_id=\"fn\"", "outcome=\"timeout\""]) == 1.0
    });
}

#[test]
fn what_finds_no_room_is_429_and_all_else_is_served() {
    let agent = with_one(&guests::dawdles(300, "x"), agent().env("HTTP_QUEUE", 2));
    let answers = at_once(8, |_| invoke(&agent, &json!({})));
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty() && !refused.is_empty(), "{answers:?}");
    for answer in &refused {
        assert_text(answer, 429, "Not served because of excessive load: the queue is full");
    }
    assert_eq!(counted(&agent, "rejected"), refused.len() as f64);
    assert_eq!(counted(&agent, "ok"), served.len() as f64);
}

#[test]
fn a_function_that_is_not_ready_is_429() {
    let site = site();
    let artifact = site.faulty("fn", guests::answers("x"), Fault::NotFound);
    site.hub.publish_desired(
        twinlet_tests::Desired::version(1).function(twinlet_tests::Function::of("fn", &artifact)),
    );
    let answer = twinlet_tests::eventually("the function to be known", || {
        Some(invoke(&site.agent, &json!({}))).filter(|answer| answer.status != 404)
    });
    assert_text(&answer, 429, "Not served because of excessive load: the function is not ready yet");
    let prewarm = post(&site.agent, "/prewarm", &json!({ "Function": "fn", "Instances": 1 }));
    assert_text(&prewarm, 503, "Prewarming failed: ");
}

#[test]
fn what_a_guest_prints_is_told_to_whom_it_belongs() {
    let agent = with_one(&guests::prints(1), agent());
    let output = |params: Value, asked: bool| {
        let answer = invoke_with(&agent, params, &json!({ "ReturnOutput": asked }));
        assert_eq!(answer.json()["Result"], "printed", "{}", answer.text());
        answer.json()["Output"].clone()
    };
    assert_eq!(output(json!({ "secret": 1 }), false), Value::Null, "nobody asked");
    assert_eq!(output(json!({ "mine": 2 }), true), "{\"mine\":2}/invoke/fn", "and nothing of before");
    assert_eq!(output(json!({ "secret": 3 }), false), Value::Null);
    assert_eq!(output(json!({}), true), "{}/invoke/fn");
    agent.log_line_where("what it printed", |line| line.contains("fn: ") && line.contains("{\"mine\":2}"));
}

#[test]
fn what_many_guests_print_at_once_is_not_mixed_up() {
    let agent = with(&guests::prints(20));
    let outputs = at_once(8, |n| {
        let params = json!({ "n": n });
        let answer = invoke_with(&agent, params.clone(), &json!({ "ReturnOutput": true })).json();
        (params.to_string().repeat(20) + "/invoke/fn", answer["Output"].as_str().unwrap().to_owned())
    });
    for (wanted, output) in outputs {
        assert_eq!(output, wanted);
    }
}

#[test]
fn what_is_printed_is_bounded_and_says_when_it_was_cut() {
    let agent = with(&guests::prints(200));
    let params = json!({ "x": "y".repeat(2_000) });
    let answer = invoke_with(&agent, params, &json!({ "ReturnOutput": true })).json();
    let output = answer["Output"].as_str().unwrap();
    assert!(output.len() <= 65_536 && output.ends_with("[cut at 64 KiB]"), "{} bytes", output.len());
}

#[test]
fn a_guest_that_prints_nothing_has_an_output_of_nothing() {
    let agent = with(&guests::answers("x"));
    assert_eq!(invoke(&agent, &json!({ "ReturnOutput": true })).json()["Output"], "");
}

#[test]
fn a_result_that_is_no_text_is_made_one() {
    let agent = with(&guests::grows());
    let answer = invoke(&agent, &json!({})).json();
    // 256 pages, as four little-endian bytes: every one of them is a character.
    assert_eq!(answer["Result"], "\0\u{1}\0\0");
}
