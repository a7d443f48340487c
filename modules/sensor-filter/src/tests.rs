//! The function as the agent sees it: requests and a twin in, answers, telemetry and reported values out.

use twinlet_guest::clock::Trust;
use twinlet_guest::prelude::*;
use twinlet_guest::telemetry;
use twinlet_guest::testing::{Host, call};

use super::handle;

fn post(body: &str) -> Response {
    call(handle, Request::post("/readings", body)).unwrap()
}

fn sent(host: &Host) -> Vec<String> {
    host.telemetry().into_iter().map(|message| String::from_utf8(message).unwrap()).collect()
}

#[test]
fn only_what_passes_the_twins_threshold_is_sent_on() {
    let host = Host::new();
    host.set_config_json(r#"{"threshold":21.5}"#);
    host.set_clock(1_700_000_000_000, Trust::Synced);
    let response = post(r#" [{"sensor":"t1","value":21.4},{"sensor":"t2","value":23.4,"unit":"C"}]"#);
    assert_eq!(response.status_code(), 200);
    assert_eq!(
        response.body_text(),
        concat!(
            r#"{"settings":{"threshold":21.5,"hysteresis":0.0,"window":1},"received":2,"passed":1,"readings":["#,
            r#"{"sensor":"t1","value":21.4,"smoothed":21.4,"passed":false},"#,
            r#"{"sensor":"t2","value":23.4,"smoothed":23.4,"passed":true,"sequence":1}]}"#
        )
    );
    let message = concat!(
        r#"{"sensor":"t2","value":23.4,"smoothed":23.4,"threshold":21.5,"#,
        r#""unix_ms":1700000000000,"trust":"synced"}"#
    );
    assert_eq!(sent(&host), [message]);
    let reported = host.reported();
    assert_eq!(reported.get("passed").map(String::as_str), Some("1"));
    assert!(reported.get("last").unwrap().contains(r#""sensor":"t2""#));
}

#[test]
fn a_single_reading_is_taken_and_settings_have_defaults() {
    let host = Host::new();
    assert!(post(r#"{"sensor":"t1","value":20}"#).body_text().contains(r#""passed":1"#));
    assert_eq!(sent(&host).len(), 1);
    let state = call(handle, Request::get("/readings")).unwrap();
    let expected = r#"{"settings":{"threshold":20.0,"hysteresis":0.0,"window":1},"sensors":1,"passed":1}"#;
    assert_eq!(state.body_text(), expected);
}

#[test]
fn bad_input_is_a_400_that_names_the_field_and_changes_nothing() {
    let host = Host::new();
    let long = format!(r#"{{"sensor":"{}","value":1}}"#, "x".repeat(65));
    let many = format!("[{}]", vec![r#"{"sensor":"t","value":99}"#; 1001].join(","));
    let deep = "[".repeat(100_000);
    for (body, named) in [
        ("", "EOF"),
        ("nonsense", "expected"),
        ("{}", "missing field `sensor`"),
        (r#"{"sensor":"t1"}"#, "missing field `value`"),
        (r#"{"sensor":"t1","value":"hot"}"#, "value: invalid type"),
        (r#"{"sensor":"t1","value":1e999}"#, "value: number out of range"),
        (r#"{"sensor":"t1","value":NaN}"#, "value: expected"),
        (r#"{"sensor":7,"value":1}"#, "sensor: invalid type"),
        (r#"[{"sensor":"t1","value":99},{"sensor":"","value":1}]"#, "[1].sensor: empty"),
        (r#"[{"sensor":"t1","value":99},{"sensor":"t1","value":null}]"#, "[1].value: invalid type"),
        (r#"{"sensor":"a\nb","value":1}"#, "sensor: has control characters"),
        (r#"{"sensor":"t1","value":99} trailing"#, "trailing characters"),
        (&long, "sensor: longer than 64 bytes"),
        (&many, "more than 1000 readings"),
        (&deep, "invalid type"),
    ] {
        let response = post(body);
        assert_eq!(response.status_code(), 400, "{}", body.get(..80).unwrap_or(body));
        let text = response.body_text();
        assert!(text.contains(named), "{text} does not say {named}");
    }
    assert!(host.telemetry().is_empty() && host.reported().is_empty());
}

#[test]
fn a_bad_config_is_told_to_the_operator_and_not_to_the_client() {
    let host = Host::new();
    for (config, named) in [
        (r#"{"threshold":"high"}"#, "config: threshold: invalid type"),
        (r#"{"treshold":1}"#, "unknown field `treshold`"),
        (r#"{"hysteresis":-1}"#, "config: hysteresis: less than 0"),
        (r#"{"window":0}"#, "config: window: not from 1 to 64"),
        (r#"{"window":65}"#, "config: window: not from 1 to 64"),
        (r#"{"window":1000}"#, "config: window: invalid value"),
    ] {
        host.set_config_json(config);
        let error = call(handle, Request::post("/", r#"{"sensor":"t1","value":1}"#)).unwrap_err();
        assert!(error.contains(named), "{error} does not say {named}");
    }
}

#[test]
fn telemetry_that_is_not_taken_for_now_is_a_503_that_says_what_was_done() {
    let host = Host::new();
    for why in [telemetry::Error::RateLimited, telemetry::Error::Storage("the disk is full".to_owned())] {
        host.refuse_telemetry(why.clone());
        let response =
            post(r#"[{"sensor":"a","value":1},{"sensor":"b","value":30},{"sensor":"c","value":1}]"#);
        assert_eq!((response.status_code(), response.header_value("retry-after")), (503, Some("5")));
        assert!(response.body_text().contains(r#""received":3,"passed":0,"readings":[{"sensor":"a""#));
        assert!(!response.body_text().contains(r#""sensor":"c""#));
        assert_eq!(host.logs().last().unwrap().message, why.to_string());
    }

    host.refuse_telemetry(telemetry::Error::NotPermitted);
    let error = call(handle, Request::post("/", r#"{"sensor":"b","value":30}"#)).unwrap_err();
    assert!(error.contains("permissions.telemetry"));
}

#[test]
fn other_methods_are_refused() {
    let response = call(handle, Request::new("DELETE", "/readings")).unwrap();
    assert_eq!((response.status_code(), response.header_value("allow")), (405, Some("GET, POST")));
}
