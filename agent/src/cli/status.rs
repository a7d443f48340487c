//! `twinlet status`: the node on one page, and what on it does not run.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use serde_json::Value;

use super::client::Client;
use super::output::{Output, Span, Style, json_flag, span};
use super::socket::with_agent;
use super::table::{Align, Table};
use super::words::{bytes, lasting, list, number, text};

const EXAMPLES: &str = "\
Examples:
  twinlet status
  sudo twinlet status --socket /run/twinlet/twinlet.sock
  twinlet status --json | jq .broker.connected

It exits with 0 whenever the agent answers, also when something does not run.";

pub(super) fn command() -> Command {
    with_agent(Command::new("status").about("Show the node on one page, and what does not run"))
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let status = client.get("/twinlet/status")?;
    if output.json {
        output.json(&status)?;
    } else {
        page(&output, &status)?;
        not_running(&output, &client.get("/twinlet/functions")?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(output: &Output, status: &Value) -> anyhow::Result<()> {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]).whole();
    let mut row = |name: &str, value: Span| table.row(vec![span(Style::Bold, name), value]);
    row("Node", format!("{} in {}", text(status, "/node_id"), text(status, "/pop_id")).into());
    let up = lasting(number(status, "/uptime_secs"));
    row("Agent", format!("twinlet {}, up {up}", text(status, "/version")).into());
    row("Broker", broker(status));
    row("Desired", desired(status));
    if let Some(dry_run) = status.get("dry_run").filter(|dry_run| !dry_run.is_null()) {
        row("Dry run", asked_for(dry_run));
    }
    row("Functions", functions(status));
    row("Memory", bytes(number(status, "/memory_bytes")).into());
    let (messages, size) = (number(status, "/outbox/messages"), bytes(number(status, "/outbox/bytes")));
    row("Outbox", format!("{messages} messages, {size}").into());
    row("Queue", format!("{} requests wait for a worker", number(status, "/queue")).into());
    row("Disk", disk(status).into());
    table.write(output)
}

fn broker(status: &Value) -> Span {
    if status.pointer("/broker/connected") == Some(&Value::Bool(true)) {
        return span(Style::Good, "connected");
    }
    match text(status, "/broker/error") {
        "" => span(Style::Warn, "not connected yet"),
        why => span(Style::Warn, format!("not connected: {why}")),
    }
}

fn desired(status: &Value) -> Span {
    asked_for(status.get("desired").unwrap_or(&Value::Null))
}

/// What became of something that was asked for.
fn asked_for(of: &Value) -> Span {
    let code = number(of, "/code");
    let style = match code {
        200 => Style::Plain,
        202 => Style::Warn,
        _ => Style::Bad,
    };
    let (version, words) = (number(of, "/version"), text(of, "/description"));
    span(style, format!("version {version}; {code}: {words}"))
}

fn functions(status: &Value) -> Span {
    let (running, total) = (number(status, "/functions/running"), number(status, "/functions/total"));
    let style = if running == total { Style::Plain } else { Style::Warn };
    span(style, format!("{running} of {total} running"))
}

fn disk(status: &Value) -> String {
    let components = bytes(number(status, "/artifact_bytes"));
    let free = match status.pointer("/disk_free_bytes").and_then(Value::as_u64) {
        Some(free) => format!("{} free", bytes(free)),
        None => "free space not known".to_owned(),
    };
    format!("{components} of components, {free}, in {}", text(status, "/state_dir"))
}

/// One line for each function that does not run, with its reason.
fn not_running(output: &Output, functions: &Value) -> anyhow::Result<()> {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Left)]).whole();
    let idle = list(functions, "/functions").iter().filter(|function| text(function, "/phase") != "running");
    for function in idle.clone() {
        let next = function.pointer("/next_try_secs").and_then(Value::as_u64);
        let error = text(function, "/last_error");
        let reason = match next {
            Some(secs) if !error.is_empty() => format!("{error}; next try in {}", lasting(secs)),
            _ => error.to_owned(),
        };
        let phase = text(function, "/phase");
        let id = format!("  {}", text(function, "/id"));
        table.row(vec![id.into(), span(style_of(phase), phase), reason.into()]);
    }
    if idle.count() == 0 {
        return Ok(());
    }
    output.text("")?;
    output.line(&[span(Style::Bold, "Not running"), " (`twinlet why FUNCTION` says more)".into()])?;
    table.write(output)
}

/// How a phase looks.
pub(super) fn style_of(phase: &str) -> Style {
    match phase {
        "running" => Style::Good,
        "failed" | "backoff" => Style::Bad,
        _ => Style::Warn,
    }
}
