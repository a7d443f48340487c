//! Every field of every body, wrong in every way: it is named, and nothing changes.

use serde_json::{Value, json};
use twinlet_tests::guests;

use super::{function, names, post, with};

/// A valid body with one field set, or with `null` taken away.
fn changed(body: &Value, field: &str, value: &Value) -> Value {
    let mut body = body.clone();
    body[field] = value.clone();
    if value.is_null() {
        body.as_object_mut().unwrap().remove(field);
    }
    body
}

/// What is wrong with each field. None of it may be taken.
fn wrong() -> Vec<(&'static str, Value, &'static str, Vec<Value>)> {
    let no_text = || vec![json!(7), json!(true), json!([]), json!({}), json!(0.5)];
    let no_flag = || vec![json!(0), json!(1), json!("true"), json!([]), json!({})];
    let with = |mut more: Vec<Value>, others: Vec<Value>| {
        more.extend(others);
        more
    };
    let create = function("new", &guests::answers("x"));
    let image = json!({ "Name": "new", "Runtime": "wasm", "MemoryMB": 16, "CustomImage": "" });
    let invoke = json!({ "Params": {} });
    let prewarm = json!({ "Function": "fn", "Instances": 1 });
    let delete = json!({ "Name": "fn" });
    let digest = "a".repeat(64);
    let bad_names = ["", "../etc", "a/b", "A", "_a", "a b", "ü", "a\0", &"a".repeat(65)].map(Value::from);
    vec![
        ("/create", create.clone(), "Name", with(no_text(), bad_names.into())),
        ("/create", create.clone(), "Name", vec![Value::Null]),
        ("/create", create.clone(), "Runtime", with(no_text(), vec![Value::Null])),
        (
            "/create",
            create.clone(),
            "MemoryMB",
            vec![
                Value::Null,
                json!("16"),
                json!(0),
                json!(-1),
                json!(1.5),
                json!(65),
                json!(u64::MAX),
                json!([]),
            ],
        ),
        (
            "/create",
            create.clone(),
            "CPUDemand",
            vec![json!("1"), json!(-0.5), json!(-2), json!(1e9), json!(true), json!([])],
        ),
        (
            "/create",
            create.clone(),
            "Handler",
            with(no_text(), vec![json!("main.py"), json!("x".repeat(5_000))]),
        ),
        (
            "/create",
            create.clone(),
            "TarFunctionCode",
            with(no_text(), vec![Value::Null, json!(""), json!("%"), json!("AAAA"), json!("A".repeat(99))]),
        ),
        (
            "/create",
            image,
            "CustomImage",
            with(
                no_text(),
                vec![
                    json!("https://h/f"),
                    json!(format!("file:///f@sha256:{digest}")),
                    json!(format!("https://h/f@sha256:{}", &digest[1..])),
                    json!(format!("https://h/{}@sha256:{digest}", "x".repeat(3_000))),
                    json!(format!("https://h/a b@sha256:{digest}")),
                ],
            ),
        ),
        ("/create", create.clone(), "CustomImage", vec![json!(format!("https://h/f@sha256:{digest}"))]),
        ("/create", create, "MaxConcurrency", vec![json!(1)]),
        ("/delete", delete.clone(), "Name", with(no_text(), vec![Value::Null])),
        ("/delete", delete, "name", vec![json!("fn")]),
        (
            "/invoke/fn",
            invoke.clone(),
            "Params",
            vec![Value::Null, json!([]), json!("{}"), json!(1), json!(false)],
        ),
        ("/invoke/fn", invoke.clone(), "CanDoOffloading", no_flag()),
        ("/invoke/fn", invoke.clone(), "Async", no_flag()),
        ("/invoke/fn", invoke.clone(), "ReturnOutput", no_flag()),
        ("/invoke/fn", invoke.clone(), "QoSClass", vec![json!("1"), json!(0.5), json!([]), json!(true)]),
        (
            "/invoke/fn",
            invoke.clone(),
            "QoSMaxRespT",
            vec![json!(0), json!(-0.1), json!(-2), json!("1"), json!([]), json!(true)],
        ),
        ("/invoke/fn", invoke, "params", vec![json!({})]),
        ("/prewarm", prewarm.clone(), "Function", with(no_text(), vec![Value::Null])),
        (
            "/prewarm",
            prewarm.clone(),
            "Instances",
            vec![Value::Null, json!(-1), json!(4097), json!(0.5), json!("1"), json!([])],
        ),
        ("/prewarm", prewarm.clone(), "ForceImagePull", no_flag()),
        ("/prewarm", prewarm, "Force", vec![json!(true)]),
    ]
}

#[test]
fn a_field_that_is_wrong_is_named_and_nothing_changes() {
    let agent = with(&guests::answers("x"));
    let artifacts = || std::fs::read_dir(agent.state_dir().join("artifacts")).unwrap().count();
    let before = artifacts();
    for (path, body, field, values) in wrong() {
        for value in values {
            let refused = post(&agent, path, &changed(&body, field, &value));
            let shown: String = value.to_string().chars().take(60).collect();
            assert_eq!(refused.status, 400, "{path} {field}={shown}: {}", refused.text());
            let error = refused.json();
            assert_eq!((&error["type"], &error["retryable"]), (&json!("ValidationError"), &json!(false)));
            let told = error["error"].as_str().unwrap();
            assert!(told.contains(&format!("{field}: ")), "{path} {field}={shown}: {told}");
            assert!(told.len() < 1_000, "{path} {field}: the answer repeats too much of what came");
        }
    }
    assert_eq!((names(&agent), artifacts()), (json!(["fn"]), before));
}

#[test]
fn every_problem_of_a_body_is_told_at_once() {
    let agent = with(&guests::answers("x"));
    let body = json!({ "Runtime": "wasm", "MemoryMB": "x", "CPUDemand": [], "surprise": 1 });
    let told = post(&agent, "/create", &body).text();
    for field in ["Name: ", "MemoryMB: ", "CPUDemand: ", "TarFunctionCode: ", "surprise: "] {
        assert!(told.contains(field), "{field} is not in {told}");
    }
}

#[test]
fn what_is_no_json_object_is_400_everywhere() {
    let agent = with(&guests::answers("x"));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{{\"Params\":{}1{}}}", "[".repeat(60), "]".repeat(60));
    let bodies: [&[u8]; 9] =
        [b"", b"{", b"[]", b"null", b"\"fn\"", b"{} {}", b"\xff\xfe{}", deep.as_bytes(), nested.as_bytes()];
    for path in ["/create", "/delete", "/invoke/fn", "/prewarm"] {
        for body in bodies {
            let refused = agent.local("POST", path, body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(20)]);
            assert_eq!(refused.status, 400, "{path} {shown}: {}", refused.text());
            assert_eq!(refused.json()["type"], "ValidationError");
        }
    }
    assert_eq!(names(&agent), json!(["fn"]));
}
