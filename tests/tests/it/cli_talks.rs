//! The command line against made-up answers: what it asks for, and what it makes of what an agent seldom says.

use serde_json::{Value, json};
use twinlet_tests::Cli;
use twinlet_tests::scripted::Scripted;

const ESCAPE: char = '\u{1b}';

fn beside(agent: &Scripted) -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).env("LOCAL_SOCKET", agent.socket().display())
}

/// A report of `/invoke` and `/poll`.
fn report(success: bool, result: &str) -> Value {
    json!({ "Success": success, "Result": result, "ResponseTime": 0.0123, "IsWarmStart": true, "InitTime": 0.0,
            "OffloadLatency": 0, "Duration": 0.004, "SchedAction": "local", "Output": "printed\n" })
}

#[test]
fn an_invocations_result_is_alone_on_standard_output() {
    let agent = Scripted::saying(200, &report(true, "{\"IsPrime\": false}").to_string());
    let cli = beside(&agent);
    let said =
        cli.run(&["invoke", "isprime", "--data", r#"{"n": 4}"#, "--deadline", "1.5", "--output"]).done();
    assert_eq!(said.out, "{\"IsPrime\": false}\n");
    assert_eq!(said.err, "printed\n12.3 ms in all; 4.0 ms in the function; warm\n");
    let asked = &agent.asked()[0];
    assert_eq!(asked.what, "POST /invoke/isprime");
    let body = json!({ "Params": { "n": 4 }, "Async": false, "ReturnOutput": true, "QoSMaxRespT": 1.5 });
    assert_eq!(asked.json(), body);
    assert_eq!(cli.run(&["invoke", "isprime", "--json"]).done().json()["Duration"], 0.004);
    assert_eq!(agent.asked()[1].json(), json!({ "Params": {}, "Async": false, "ReturnOutput": false }));
}

#[test]
fn parameters_come_from_the_command_line_a_file_or_standard_input() {
    let agent = Scripted::saying(200, &report(true, "").to_string());
    let (cli, file) = (beside(&agent), agent.folder().join("params.json"));
    std::fs::write(&file, r#"{"from": "file"}"#).unwrap();
    cli.run(&["invoke", "f", "--data", &format!("@{}", file.display())]).done();
    cli.run_with(&["invoke", "f", "--data", "-"], r#"{"from": "input"}"#).done();
    let from = |at: usize| agent.asked()[at].json()["Params"]["from"].clone();
    assert_eq!((from(0), from(1)), ("file".into(), "input".into()));
    for wrong in ["{", "@/not/there"] {
        let said = cli.run(&["invoke", "f", "--data", wrong]);
        assert_eq!(said.code, 1);
        assert!(said.err.contains("--data: "), "{said:?}");
    }
    for wrong in ["0", "-1", "nan", "1e300", "soon"] {
        assert_eq!(cli.run(&["invoke", "f", "--deadline", wrong]).code, 2, "{wrong}");
    }
    assert_eq!(agent.asked().len(), 2, "what is wrong is not sent");
}

#[test]
fn a_result_for_later_is_promised_or_waited_for() {
    let agent = Scripted::answering(|asked, before| match (asked.what.as_str(), before) {
        ("POST /invoke/f", _) => (200, json!({ "ReqId": "f-1" }).to_string()),
        (_, ..4) => (404, "Results not found.".to_owned()),
        _ => (200, report(true, "late").to_string()),
    });
    let cli = beside(&agent);
    let promised = cli.run(&["invoke", "f", "--async"]).done();
    assert_eq!(promised.out, "f-1\n");
    assert!(
        promised.err.contains("curl --unix-socket ") && promised.err.contains("/poll/f-1"),
        "{promised:?}"
    );
    assert_eq!(cli.run(&["invoke", "f", "--async", "--wait"]).done().out, "late\n");
    let asked: Vec<String> = agent.asked().into_iter().map(|asked| asked.what).collect();
    assert_eq!(asked[2..], ["GET /poll/f-1", "GET /poll/f-1", "GET /poll/f-1"]);
    assert_eq!(cli.run(&["invoke", "f", "--wait"]).code, 2, "there is nothing to wait for");
}

#[test]
fn a_failed_invocation_fails_the_command() {
    let failed = |status: u16, body: &str, why: &str| {
        let said = beside(&Scripted::saying(status, body)).run(&["invoke", "f"]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(why), "{said:?}");
    };
    failed(500, "Invocation failed: it trapped", "Invocation failed: it trapped");
    failed(429, "Not served because of excessive load: the queue is full", "the queue is full");
    failed(404, "Function unknown.", "no function `f`");
    failed(200, &report(false, "it trapped").to_string(), "it trapped");
}

#[test]
fn an_answer_that_is_none_is_told_apart_from_no_agent() {
    let told = |status: u16, body: &str, why: &str| {
        let agent = Scripted::saying(status, body);
        let said = beside(&agent).run(&["status"]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
        assert!(said.err.contains(why), "{why}: {said:?}");
        assert!(!said.err.contains("no agent is running"), "{said:?}");
    };
    told(200, "<html>", "is not JSON");
    told(503, "", "the agent answered 503");
    told(503, r#"{"error": "Insufficient resources: too many"}"#, "Insufficient resources: too many");
    told(0, "", "the agent at /");
}

#[test]
fn no_text_of_the_agent_can_steer_the_terminal() {
    let bad = "\u{1b}]0;gone\u{7}\u{9b}2J\r\n\u{202e}x";
    let function = json!({ "id": bad, "origin": bad, "phase": bad, "last_error": bad, "version": 1,
                           "routes": [{ "host": bad, "path": bad }], "middleware": [bad] });
    let all = json!({
        "version": bad, "node_id": bad, "pop_id": bad, "state_dir": bad, "broker": { "error": bad },
        "desired": { "description": bad }, "conclusion": bad, "steps": [{ "step": bad, "detail": bad }],
        "lines": [{ "level": bad, "target": bad, "text": bad }], "Result": bad, "Output": bad, "Success": true,
        "ReqId": bad, "id": bad, "sha256": bad, "error": bad,
    });
    let agent = Scripted::answering(move |asked, _| {
        let mut all = all.clone();
        match asked.what.as_str() {
            "GET /metrics" => return (200, bad.to_owned()),
            "GET /twinlet/functions" => all["functions"] = json!([function]),
            "GET /twinlet/why/refused" => return (400, all.to_string()),
            _ => {}
        }
        (200, all.to_string())
    });
    let cli = beside(&agent).env("NO_COLOR", "1");
    let component = agent.folder().join("f.wasm");
    std::fs::write(&component, b"\0asm").unwrap();
    let commands: [&[&str]; 10] = [
        &["status"],
        &["functions"],
        &["why", "f"],
        &["why", "refused"],
        &["logs"],
        &["metrics"],
        &["invoke", "f"],
        &["invoke", "f", "--async"],
        &["delete", "f"],
        &["deploy", component.to_str().unwrap()],
    ];
    for args in commands {
        let shown = cli.on_terminal(args);
        // What progress needs is the program's own, and in no other place than the line's begin.
        let shown = shown.replace("\r\u{1b}[K", "");
        assert!(shown.contains("gone"), "{args:?}: {shown:?}");
        let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}' || c == ESCAPE;
        assert!(!shown.contains(steers), "{args:?}: {shown:?}");
    }
}

#[test]
fn a_followed_log_says_what_it_could_not_show() {
    let line = |seq: u64| json!({ "seq": seq, "unix_ms": 0, "level": "info", "target": "t", "text": format!("line {seq}") });
    let agent = Scripted::answering(move |_, before| {
        let answer = match before {
            0 => json!({ "lines": [line(7)], "last": 7 }),
            1 => json!({ "lines": [line(10), line(11)], "last": 11 }),
            2 => json!({ "lines": [], "last": 2 }),
            3 => json!({ "lines": [line(1), line(2)], "last": 2 }),
            _ => return (0, String::new()),
        };
        (200, answer.to_string())
    });
    let mut log = beside(&agent).start(&["logs", "-f"]);
    assert_eq!(log.wait_exit(), 1);
    for said in [
        "line 7",
        "2 lines came too fast",
        "line 11",
        "started again",
        "line 1",
        "line 2",
        "the log ends here",
    ] {
        log.says(said);
    }
    let asked: Vec<String> = agent.asked().into_iter().map(|asked| asked.what).collect();
    assert_eq!(asked[0], "GET /twinlet/logs?limit=200");
    assert_eq!(
        asked[2..4],
        ["GET /twinlet/logs?limit=5000&after=11", "GET /twinlet/logs?limit=5000&after=0"]
    );
}
