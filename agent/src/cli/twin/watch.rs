//! `twin watch`: all that a node says, as it comes, over lost connections.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ArgMatches;
use serde_json::{Map, Value};

use super::broker::{PATIENCE, Place};
use crate::backoff;
use crate::cli::output::{Output, Style, note, span};
use crate::desired::is_dry_run;
use crate::mqtt::{Heard, Operator, OperatorError, Said};

/// Between two attempts to connect again.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Characters of one telemetry message that are shown to people.
const SHOWN: usize = 200;

pub(super) fn watch(place: &Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let output = Output::of(matches);
    let mut last = Value::Null;
    // What is wrong from the start is not waited out.
    let mut operator = follow(place)?;
    loop {
        let why = match operator.next(None) {
            Ok(Some(heard)) => {
                say(&output, &heard, &mut last)?;
                continue;
            }
            Ok(None) => continue,
            Err(error) => error,
        };
        note(&format!("twinlet twin watch: {why}"));
        operator = again(place);
    }
}

fn follow(place: &Place) -> Result<Operator, OperatorError> {
    let mut operator = place.connect()?;
    operator.follow(Instant::now() + PATIENCE)?;
    Ok(operator)
}

/// Connects again, however long that takes.
fn again(place: &Place) -> Operator {
    let mut failures = 0;
    loop {
        std::thread::sleep(backoff::wait(FIRST_WAIT, LONGEST_WAIT, failures));
        match follow(place) {
            Ok(operator) => {
                note("twinlet twin watch: connected again");
                return operator;
            }
            Err(error) if failures == 0 => note(&format!("twinlet twin watch: {error}; trying on")),
            Err(_) => {}
        }
        failures = failures.saturating_add(1);
    }
}

fn say(output: &Output, heard: &Heard, last: &mut Value) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let payload = payload(&heard.payload);
    let (kind, function) = match &heard.said {
        Said::Desired => ("desired", None),
        Said::Reported => ("reported", None),
        Said::Status => ("status", None),
        Said::Heartbeat => ("heartbeat", None),
        Said::Telemetry(function) => ("telemetry", Some(function.as_str())),
    };
    if output.json {
        let mut line = Map::new();
        line.insert("at".into(), now.as_secs_f64().into());
        line.insert("kind".into(), kind.into());
        line.insert("retained".into(), heard.retained.into());
        if let Some(function) = function {
            line.insert("function_id".into(), function.into());
        }
        line.insert("payload".into(), payload);
        return output.json_line(&Value::Object(line));
    }
    let lines = match &heard.said {
        Said::Desired => vec![desired(&payload)],
        Said::Status => vec![payload.as_str().unwrap_or_default().to_owned()],
        Said::Heartbeat => vec![heartbeat(&payload)],
        Said::Telemetry(function) => vec![format!("{function} {}", shortened(&heard.payload))],
        Said::Reported => {
            let lines = changes(last, &payload);
            *last = payload;
            lines
        }
    };
    let seconds = now.as_secs() % 86_400;
    let time = format!("{:02}:{:02}:{:02}Z  ", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let kept = if heard.retained { " (kept by the broker)" } else { "" };
    for line in lines {
        output.line(&[
            span(Style::Dim, &*time),
            span(Style::Bold, format!("{kind:<9}  ")),
            line.into(),
            span(Style::Dim, kept),
        ])?;
    }
    Ok(())
}

/// JSON where it is, else the text.
fn payload(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { format!("{short}… ({} bytes)", bytes.len()) } else { short }
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn word<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn desired(document: &Value) -> String {
    let count = |key: &str| document.get(key).and_then(Value::as_object).map_or(0, Map::len);
    let version = number(document, "/$version");
    let dry_run = if is_dry_run(document) { "dry run of " } else { "" };
    format!(
        "{dry_run}version {version}: {} functions, {} routes, {} middleware",
        count("functions"),
        count("routes"),
        count("middleware")
    )
}

fn heartbeat(beat: &Value) -> String {
    let metric = |name: &str| number(beat, &format!("/metrics/{name}"));
    format!(
        "{}, {} functions, {} instances, {} MB, {} calls, {} errors",
        word(beat, "/status"),
        number(beat, "/function_count"),
        metric("active_instances"),
        metric("memory_usage_mb"),
        metric("total_invocations"),
        metric("error_count")
    )
}

/// What is other than in the last reported state, a line each.
fn changes(last: &Value, now: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let status = |of: &Value| {
        let (code, words) =
            (number(of, "/lastDesiredStatus/code"), word(of, "/lastDesiredStatus/description"));
        format!("version {}: {code} {words}", number(of, "/lastDesiredVersion"))
    };
    if last.is_null() || status(last) != status(now) {
        lines.push(status(now));
    }
    if last.get("dryRun") != now.get("dryRun")
        && let Some(dry_run) = now.get("dryRun")
    {
        let (version, words) = (number(dry_run, "/version"), word(dry_run, "/description"));
        lines.push(format!("dry run of version {version}: {} {words}", number(dry_run, "/code")));
    }
    let functions = |of: &Value| of.get("functions").and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (functions(last), functions(now));
    for (id, function) in &after {
        if before.get(id) != Some(function) {
            let error = word(function, "/lastError");
            let error = if error.is_empty() { String::new() } else { format!(": {error}") };
            let own = function.get("reported").map(|own| format!(", reports {own}")).unwrap_or_default();
            lines.push(format!(
                "{id} v{} {}{error}{own}",
                number(function, "/version"),
                word(function, "/phase")
            ));
        }
    }
    let gone = before.keys().filter(|id| !after.contains_key(*id));
    lines.extend(gone.map(|id| format!("{id} is gone")));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_reported_state_only_what_changed_is_told() {
        let function = |phase: &str| json!({ "version": 2, "phase": phase, "lastError": null });
        let state = |functions: Value| {
            json!({ "lastDesiredVersion": 1, "lastDesiredStatus": { "code": 200, "description": "applied" },
                    "functions": functions })
        };
        let first = state(json!({ "a": function("running"), "b": function("fetching") }));
        assert_eq!(
            changes(&Value::Null, &first),
            ["version 1: 200 applied", "a v2 running", "b v2 fetching"]
        );
        let second = state(json!({ "b": function("running") }));
        assert_eq!(changes(&first, &second), ["b v2 running", "a is gone"]);
        assert!(changes(&second, &second).is_empty());
        let mut asked = second.clone();
        asked["dryRun"] = json!({ "version": 2, "code": 500, "description": "would fail" });
        assert_eq!(changes(&second, &asked), ["dry run of version 2: 500 would fail"]);
        assert!(changes(&asked, &second).is_empty());
    }

    #[test]
    fn long_telemetry_is_cut_and_says_so() {
        assert_eq!(shortened(b"{}"), "{}");
        assert!(shortened(&[b'x'; 500]).ends_with("… (500 bytes)"));
    }
}
