//! `twinlet deploy`: puts a component on the running agent, and with `--watch` again whenever its file changes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::{Client, encoded};
use super::invoke::given_json;
use super::output::{Closed, Output, Progress, Style, json_flag, note, span};
use super::socket::with_socket;
use super::words::{bytes, list, number, text};

/// How long the agent has; it gives up by itself before.
const WITHIN: Duration = Duration::from_secs(200);
/// How often the agent is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How often a watched file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// The most that an agent can be set to take.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The longest id that a function has.
const MAX_ID: usize = 64;

const EXAMPLES: &str = "\
Examples:
  twinlet deploy hello.wasm --route '/hello/*'
  twinlet deploy hello.wasm --route /hello --watch
  twinlet deploy hello.wasm --name greeter --config '{\"greeting\": \"Moin\"}' --memory-pages 64
  twinlet deploy hello.wasm --http 'https://api.example.com/*' --telemetry

It takes the place of what was deployed under that name before, settings and routes included; the old version serves
until the new one is ready, and goes on if that does not get to run. What the hub asks for can not be replaced.";

pub(super) fn command() -> Command {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let many = |name, value| option(name, value).action(ArgAction::Append);
    with_socket(Command::new("deploy").about("Put a component on this device, and see it run"))
        .arg(
            Arg::new("file")
                .value_name("FILE.wasm")
                .required(true)
                .value_parser(ValueParser::path_buf())
                .help("The component"),
        )
        .args([
            option("name", "ID").help("The function's id; else the file's name without its ending"),
            many("route", "PATH")
                .help("Requests to this path, such as /x or '/x/*', go to it; may be repeated"),
            many("method", "METHOD").help("Only requests of this method; may be repeated"),
            Arg::new("its-config")
                .long("config")
                .value_name("JSON")
                .help("What it is told of its settings: an object, or @FILE"),
            option("entrypoint", "EXPORT").help("Which of its exports is meant, where it has several"),
            option("memory-pages", "N")
                .value_parser(value_parser!(u64))
                .help("The most memory of an instance, in pages of 64 KiB"),
            option("max-execution-ms", "N")
                .value_parser(value_parser!(u64))
                .help("The most time of a call, in milliseconds"),
            many("http", "PATTERN").help("It may send requests to such URLs; may be repeated"),
            many("header", "NAME")
                .help("It sees this header of requests: authorization, cookie or x-api-key; may be repeated"),
            option("telemetry", "").num_args(0).action(ArgAction::SetTrue).help("It may send telemetry"),
            option("watch", "")
                .num_args(0)
                .action(ArgAction::SetTrue)
                .help("Deploy again whenever the file changes, until Ctrl-C"),
        ])
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let file = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let id = match matches.get_one::<String>("name") {
        Some(name) => name.clone(),
        None => id_of(&file)?,
    };
    let path = format!("/twinlet/functions/{}?{}", encoded(&id), query(matches)?);
    let watch = matches.get_flag("watch");
    let deployment = Deployment { file, id, path, client: Client::of(matches)?, output: Output::of(matches) };
    if watch {
        deployment.watch()?;
    } else {
        deployment.once()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the flags say, as the agent reads it.
fn query(matches: &ArgMatches) -> anyhow::Result<String> {
    let mut pairs = Vec::new();
    for (name, flag) in [
        ("route", "route"),
        ("method", "method"),
        ("http", "http"),
        ("header", "header"),
        ("entrypoint", "entrypoint"),
    ] {
        let values = matches.get_many::<String>(flag).into_iter().flatten();
        pairs.extend(values.map(|value| format!("{name}={}", encoded(value))));
    }
    for (name, flag) in [("memory_pages", "memory-pages"), ("max_execution_ms", "max-execution-ms")] {
        pairs.extend(matches.get_one::<u64>(flag).map(|value| format!("{name}={value}")));
    }
    if let Some(config) = matches.get_one::<String>("its-config") {
        pairs.push(format!("config={}", encoded(&given_json("--config", config)?.to_string())));
    }
    if matches.get_flag("telemetry") {
        pairs.push("telemetry=true".to_owned());
    }
    Ok(pairs.join("&"))
}

/// The id that a file's name makes.
fn id_of(file: &Path) -> anyhow::Result<String> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let id: String = stem.chars().map(|c| if fits(c) { c } else { '-' }).take(MAX_ID).collect();
    match id.trim_start_matches(['-', '_']) {
        "" => Err(anyhow!("{}: its name makes no id; give one with --name", file.display())),
        id => Ok(id.to_owned()),
    }
}

/// A component's bytes, as far as any agent could take them.
pub(super) fn component_of(file: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(file)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().with_context(|| file.display().to_string())?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length < MAX_FILE_BYTES);
    if fits { Ok(bytes) } else { Err(anyhow!("{}: larger than any agent takes", file.display())) }
}

/// A component and where it goes.
struct Deployment {
    file: PathBuf,
    id: String,
    path: String,
    client: Client,
    output: Output,
}

impl Deployment {
    /// Sends the file, and says what became of it.
    fn once(&self) -> anyhow::Result<()> {
        let component = component_of(&self.file)?;
        let answer = self.send(&component)?;
        if self.output.json {
            return self.output.json(&answer);
        }
        let sha256: String = text(&answer, "/sha256").chars().take(12).collect();
        self.output.line(&[
            span(Style::Good, format!("{} version {} runs", self.id, number(&answer, "/version"))),
            format!("; it was ready in {} ms; sha256 {sha256}", number(&answer, "/ready_ms")).into(),
        ])?;
        let routes = list(&answer, "/routes");
        if routes.is_empty() {
            return self.output.text(&format!("  no route leads to it; twinlet invoke {}", self.id));
        }
        let mut paths = routes.iter().filter_map(Value::as_str);
        paths.try_for_each(|path| self.output.text(&format!("  {}", self.client.curl(path))))
    }

    /// Sends the component while another thread shows how far it is.
    fn send(&self, component: &[u8]) -> anyhow::Result<Value> {
        let (done, waits) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let size = bytes(u64::try_from(component.len()).unwrap_or(u64::MAX));
            scope.spawn(move || self.show_phases(&size, &waits));
            let sent = self.client.call("PUT", &self.path, Some(("application/wasm", component)), WITHIN);
            drop(done);
            sent?.done()?.json()
        })
    }

    fn show_phases(&self, size: &str, waits: &mpsc::Receiver<()>) {
        let mut progress = Progress::new();
        progress.show(&format!("{}: sending {size}", self.id));
        while waits.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
            // What goes wrong here goes wrong with the request itself, which says so.
            let Ok(answer) = self.client.get("/twinlet/functions") else { continue };
            let found = list(&answer, "/functions").iter().find(|function| text(function, "/id") == self.id);
            match found.map(|function| text(function, "/phase")) {
                None | Some("running") => {}
                Some(phase) => progress.show(&format!("{}: {phase}", self.id)),
            }
        }
    }

    /// Deploys whenever the file has changed. What goes wrong is said, and the next change may be better.
    fn watch(&self) -> anyhow::Result<()> {
        self.client.get("/twinlet/status")?;
        let mut deployed = None;
        if Stamp::of(&self.file).is_none() {
            note(&format!("waiting for {}, which is not there yet", self.file.display()));
        }
        loop {
            let now = Stamp::of(&self.file);
            if now != deployed && now.is_some() && self.is_settled(now.as_ref()) {
                match self.once() {
                    Err(error) if error.is::<Closed>() => return Err(error),
                    Err(error) => note(&format!("{error:#}")),
                    Ok(()) => {}
                }
                note(&format!("watching {}", self.file.display()));
                deployed = now;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether nobody is writing to the file any more.
    fn is_settled(&self, seen: Option<&Stamp>) -> bool {
        std::thread::sleep(LOOK_EVERY / 2);
        Stamp::of(&self.file).as_ref() == seen
    }
}

/// What tells one state of a file from another.
#[derive(PartialEq, Eq)]
struct Stamp(SystemTime, u64);

impl Stamp {
    /// None where there is no such file now, as while a compiler replaces it.
    fn of(file: &Path) -> Option<Self> {
        let data = std::fs::metadata(file).ok().filter(|data| data.len() > 0)?;
        Some(Self(data.modified().ok()?, data.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_makes_an_id() {
        let id = |file: &str| id_of(Path::new(file)).ok();
        assert_eq!(id("/a/Hello World.v2.wasm").as_deref(), Some("hello-world-v2"));
        assert_eq!(id("__x.wasm").as_deref(), Some("x"));
        assert_eq!(id(&"a".repeat(99)).map(|id| id.len()), Some(MAX_ID));
        assert_eq!(id("ü.wasm"), None);
    }
}
