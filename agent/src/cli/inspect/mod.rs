//! `twinlet inspect`: what the agent would make of a component, found out by the agent's own compiler and linker. It
//! starts nothing, and needs no agent.

mod memories;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::memories::Memory;
use super::output::{Output, Style, json_flag, span};
use super::scratch::Scratch;
use super::settings::{self, Unusable};
use crate::compile::{Compiler, looks_like_component};
use crate::config::Config;
use crate::desired::{AttachPoint, Entrypoint};
use crate::engine::{Answerer, Exports, Names, Runtime};

const AFTER: &str = "\
It is compiled and linked as the agent does it, with the limits of the settings (COMPILE_MEMORY_MB, COMPILE_TIMEOUT_SECS,
MAX_MEMORY_PAGES, ARTIFACT_MAX_BYTES) from --config, TWINLET_CONFIG and the environment, but it is not started.

Examples:
  twinlet inspect hello.wasm
  twinlet inspect hello.wasm --json | jq -r .sha256

Exit codes: 0 the agent would take it, 1 it would refuse it, 2 the command line is wrong, 78 the configuration is.";

pub(super) fn command() -> Command {
    let path =
        |name: &'static str, value| Arg::new(name).value_name(value).value_parser(ValueParser::path_buf());
    Command::new("inspect")
        .about("Say what the agent would make of a component")
        .args([
            path("file", "FILE").required(true).help("The component, a .wasm file"),
            path("config", "FILE").long("config").help("The agent's TOML file, for its limits"),
            json_flag(),
        ])
        .after_help(AFTER)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let config = settings::resolve(&settings::invocation(matches)).map_err(Unusable)?.config;
    let file = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let findings = Findings::of(&file, &config)?;
    let output = Output::of(matches);
    if output.json {
        output.json(&findings.json())?
    } else {
        findings.write(&output)?
    }
    Ok(if findings.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was found out, as far as it went.
struct Findings {
    file: PathBuf,
    size: usize,
    sha256: String,
    memories: Vec<Memory>,
    names: Option<Names>,
    exports: Option<Exports>,
    compiled: Option<(u64, Duration)>,
    /// Why the agent would refuse it.
    refused: Option<String>,
}

impl Findings {
    fn of(file: &Path, config: &Config) -> anyhow::Result<Self> {
        let bytes = super::deploy::component_of(file)?;
        let mut findings = Self {
            file: file.to_owned(),
            size: bytes.len(),
            sha256: format!("{:x}", Sha256::digest(&bytes)),
            memories: Vec::new(),
            names: None,
            exports: None,
            compiled: None,
            refused: None,
        };
        let most = config.fetch.max_bytes;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
            findings.refused =
                Some(format!("it has {} bytes, more than artifact_max_bytes ({most})", bytes.len()));
        } else if let Err(error) = looks_like_component(file) {
            let core = bytes.starts_with(b"\0asm\x01");
            let help = if core { ", and so does the build of a project by `twinlet new`" } else { "" };
            findings.refused = Some(format!("{error}{help}"));
        } else {
            findings.memories = memories::of(&bytes);
            drop(bytes);
            findings.refused = findings.compile_and_link(config)?;
        }
        Ok(findings)
    }

    /// As the agent does it. The reason where it would refuse the component, an error where that can not be known.
    fn compile_and_link(&mut self, config: &Config) -> anyhow::Result<Option<String>> {
        let scratch = Scratch::new().context("a directory for temporary files")?;
        let out = scratch.path().join("compiled");
        std::fs::File::create_new(&out)?;
        let compiler = Compiler::new(&config.guests)?;
        let began = Instant::now();
        if let Err(error) = compiler.compile(&self.file, &out, &|| false) {
            return Ok(Some(error.to_string()));
        }
        self.compiled = Some((std::fs::metadata(&out)?.len(), began.elapsed()));
        let (least, most) = (self.least_pages(), config.guests.max_memory_pages);
        if least > u64::from(most) {
            let why = format!("it begins with {least} pages of memory, more than max_memory_pages ({most})");
            return Ok(Some(why));
        }
        let runtime = Runtime::new(most)?;
        // SAFETY: our own compiler has just written the file into a directory that is open to this user alone.
        let component = match unsafe { runtime.map(&out) } {
            Ok(component) => component,
            Err(error) => return Ok(Some(error.to_string())),
        };
        self.names = Some(runtime.names(&component));
        match runtime.link(&component, Entrypoint::Main) {
            Ok(linked) => self.exports = Some(linked.exports),
            Err(error) => return Ok(Some(error.to_string())),
        }
        Ok(None)
    }

    /// Pages of all its memories together when it starts.
    fn least_pages(&self) -> u64 {
        self.memories.iter().map(|memory| memory.min).sum()
    }

    /// What the agent does with each export.
    fn uses(&self) -> Vec<(&str, &'static str)> {
        let Some(names) = &self.names else { return Vec::new() };
        names
            .exports
            .iter()
            .map(|name| (name.as_str(), self.exports.as_ref().map_or("", |e| use_of(name, e))))
            .collect()
    }

    fn json(&self) -> Value {
        let names = |offered: bool| {
            let imports = self.names.iter().flat_map(|names| &names.imports);
            imports.filter(|(_, o)| *o == offered).map(|(name, _)| name.as_str()).collect::<Vec<_>>()
        };
        let uses = self.uses();
        json!({
            "file": self.file.display().to_string(), "size": self.size, "sha256": self.sha256,
            "exports": uses.iter().map(|(name, does)| json!({ "name": name, "use": does })).collect::<Vec<_>>(),
            "imports": names(true), "missing": names(false),
            "memories": self.memories.iter().map(|m| json!({ "min": m.min, "max": m.max })).collect::<Vec<_>>(),
            "compiled_size": self.compiled.map(|(bytes, _)| bytes),
            "compile_ms": self.compiled.map(|(_, took)| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            "refused": self.refused,
        })
    }

    fn write(&self, output: &Output) -> anyhow::Result<()> {
        let row =
            |name: &str, value: &str| output.line(&[span(Style::Bold, format!("{name:<10}")), value.into()]);
        row("file", &self.file.display().to_string())?;
        row("size", &format!("{} bytes", self.size))?;
        row("sha256", &self.sha256)?;
        for (name, does) in self.uses() {
            let does = if does.is_empty() { String::new() } else { format!(": {does}") };
            row("exports", &format!("{name}{does}"))?;
        }
        for (name, offered) in self.names.iter().flat_map(|names| &names.imports) {
            match offered {
                true => row("imports", name)?,
                false => output.line(&[
                    span(Style::Bold, format!("{:<10}", "missing")),
                    span(Style::Bad, format!("{name}, which twinlet does not offer")),
                ])?,
            }
        }
        for Memory { min, max } in &self.memories {
            let most = max.map_or_else(|| "no most of its own".to_owned(), |max| format!("at most {max}"));
            row("memory", &format!("{min} pages of 64 KiB at first, {most}"))?;
        }
        if let Some((bytes, took)) = self.compiled {
            row("compiled", &format!("{bytes} bytes, in {} ms", took.as_millis()))?;
        }
        let (style, verdict) = match &self.refused {
            None => (
                Style::Good,
                format!("the agent would take it; memory_pages of at least {}", self.least_pages().max(1)),
            ),
            Some(why) => (Style::Bad, format!("the agent would refuse it: {why}")),
        };
        output.line(&[span(Style::Bold, format!("{:<10}", "verdict")), span(style, verdict)])
    }
}

fn use_of(name: &str, exports: &Exports) -> &'static str {
    let bare = name.split('@').next().unwrap_or_default();
    let routed = |by: Answerer, first: &'static str, instead: &'static str| {
        if exports.answerer() == by { first } else { instead }
    };
    match bare {
        "twinlet:device/http-handler" => "answers the requests of its routes",
        "wasi:http/incoming-handler" => routed(
            Answerer::WasiHttp,
            "answers the requests of its routes",
            "answers requests with `entrypoint` incoming-handler alone",
        ),
        "twinlet:device/actor" => routed(
            Answerer::Actor,
            "takes messages, and the requests of its routes",
            "takes messages; requests with `entrypoint` actor alone",
        ),
        "twinlet:device/on-request" if exports.attaches(AttachPoint::Request) => {
            "can be attached before functions"
        }
        "twinlet:device/on-response" if exports.attaches(AttachPoint::Response) => {
            "can be attached after functions"
        }
        "twinlet:device/on-error" if exports.attaches(AttachPoint::Error) => {
            "can be attached to the agent's own errors"
        }
        _ => "not called by the agent",
    }
}
