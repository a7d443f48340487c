//! `twinlet invoke`: calls a function by its name, whatever its routes are.

use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::client::{Client, DURABLE, SOON, encoded};
use super::output::{Output, Progress, json_flag, note};
use super::socket::with_agent;
use super::why::{function, function_of};
use super::words::text;

/// How long an invocation without a deadline of its own may take; the function's own limit ends it long before.
const AT_MOST: Duration = Duration::from_secs(3_600);
/// What the agent's answer may take beside the invocation.
const BESIDE: Duration = Duration::from_secs(5);
/// How often a result is asked for.
const EVERY: Duration = Duration::from_millis(250);
/// How long a result is asked for; the agent keeps none longer.
const KEPT: Duration = Duration::from_secs(30 * 60);

const EXAMPLES: &str = "\
Examples:
  twinlet invoke hello
  twinlet invoke hello --data '{\"name\": \"you\"}' --deadline 2
  twinlet invoke hello --data @params.json --json | jq .Duration
  twinlet invoke report --async --wait

The result goes to standard output as it is, times and what the function printed to standard error.";

pub(super) fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    with_agent(Command::new("invoke").about("Call a function by its name"))
        .arg(function())
        .arg(
            Arg::new("data")
                .long("data")
                .short('d')
                .value_name("JSON")
                .default_value("{}")
                .help("The parameters, an object: JSON, @FILE, or - for standard input"),
        )
        .arg(flag("async").help("Do not wait: print the id under which the result can be had"))
        .arg(flag("wait").requires("async").help("With --async: ask for the result until it is there"))
        .arg(
            Arg::new("deadline")
                .long("deadline")
                .value_name("SECS")
                .value_parser(ValueParser::from(seconds))
                .help("Give up after so many seconds, the wait for a free instance included"),
        )
        .arg(flag("output").help("Show what the function prints as well, on standard error"))
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let data = matches.get_one::<String>("data").map_or("{}", String::as_str);
    let deadline = matches.get_one::<Duration>("deadline").copied();
    let is_async = matches.get_flag("async");
    let mut body = json!({ "Params": given_json("--data", data)?, "Async": is_async,
                           "ReturnOutput": matches.get_flag("output") });
    if let (Some(deadline), Some(fields)) = (deadline, body.as_object_mut()) {
        fields.insert("QoSMaxRespT".into(), deadline.as_secs_f64().into());
    }
    let function = function_of(matches);
    let path = format!("/invoke/{}", encoded(function));
    let within = match deadline {
        _ if is_async => DURABLE,
        None => AT_MOST,
        Some(deadline) => deadline + BESIDE,
    };
    let body = body.to_string();
    let reply = client.call("POST", &path, Some(("application/json", body.as_bytes())), within)?;
    let answer = reply.done_with(function)?.json()?;
    match is_async {
        false => report(&output, &answer),
        true if matches.get_flag("wait") => report(&output, &poll(&client, text(&answer, "/ReqId"))?),
        true => promise(&output, &client, &answer),
    }
}

/// Says where the result will be.
fn promise(output: &Output, client: &Client, answer: &Value) -> anyhow::Result<ExitCode> {
    let id = text(answer, "/ReqId");
    if output.json {
        output.json(answer)?;
    } else {
        output.text(id)?;
        note(&format!("its result, once it is there: {}", client.curl(&format!("/poll/{id}"))));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for a result until it is there.
fn poll(client: &Client, id: &str) -> anyhow::Result<Value> {
    let (began, path) = (Instant::now(), format!("/poll/{}", encoded(id)));
    let mut progress = Progress::new();
    loop {
        let reply = client.call("GET", &path, None, SOON)?;
        if reply.status != 404 {
            return reply.done()?.json();
        }
        if began.elapsed() > KEPT {
            bail!("no result of {id} came within {} min", KEPT.as_secs() / 60);
        }
        progress.show(&format!("waiting for {id}"));
        std::thread::sleep(EVERY);
    }
}

fn report(output: &Output, answer: &Value) -> anyhow::Result<ExitCode> {
    let success = answer.pointer("/Success").and_then(Value::as_bool).unwrap_or_default();
    let code = if success { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if output.json {
        output.json(answer)?;
        return Ok(code);
    }
    let printed = text(answer, "/Output");
    if !printed.is_empty() {
        note(printed.trim_end());
    }
    let result = text(answer, "/Result");
    if success {
        let end = if result.ends_with('\n') { "" } else { "\n" };
        output.verbatim(&format!("{result}{end}"))?;
    } else {
        note(if result.is_empty() { "the invocation failed" } else { result });
    }
    note(&times(answer));
    Ok(code)
}

/// How long what took.
fn times(answer: &Value) -> String {
    let took = |name: &str| {
        let secs = answer.pointer(name).and_then(Value::as_f64).unwrap_or_default();
        format!("{:.1} ms", secs * 1_000.0)
    };
    let warm = answer.pointer("/IsWarmStart").and_then(Value::as_bool).unwrap_or_default();
    let start = if warm { "warm".to_owned() } else { format!("cold, {} to start", took("/InitTime")) };
    format!("{} in all; {} in the function; {start}", took("/ResponseTime"), took("/Duration"))
}

/// JSON as an argument has it: itself, `@FILE`, or `-` for standard input.
pub(super) fn given_json(flag: &str, text: &str) -> anyhow::Result<Value> {
    let read = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{flag}: {path}"))?,
        None if text == "-" => {
            let mut read = String::new();
            std::io::stdin().lock().read_to_string(&mut read).context("standard input")?;
            read
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&read).with_context(|| format!("{flag}: not JSON"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let secs: Option<f64> = text.parse().ok();
    let usual = secs.filter(|secs| *secs > 0.0 && *secs <= 86_400.0);
    usual.map(Duration::from_secs_f64).ok_or_else(|| "a number of seconds, more than 0, is wanted".to_owned())
}
