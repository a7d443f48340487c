//! twinlet in one command: a broker, an artifact server and the agent on loopback; then an operator who deploys the
//! sample modules and watches.
//!
//! `cargo run --release --example quickstart` serves until Ctrl-C. `-- --once` makes the requests itself and exits 0
//! only if every answer was right.

// An example is a program: it prints, and its modules' items are public to it alone.
#![allow(clippy::print_stdout, unreachable_pub)]

mod artifacts;
mod broker;
mod operator;
mod shown;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use twinlet::agent::Agent;
use twinlet::config::{Config, Layers};

use artifacts::ArtifactServer;
use operator::Operator;
use shown::{say, step};

const NODE: &str = "quickstart";

fn main() -> ExitCode {
    // The agent compiles components in a child process of the program that it is part of.
    if let Some(code) = twinlet::compile::child_main().or_else(twinlet::store::child_main) {
        return code;
    }
    let once = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--once") => true,
        Some(other) => {
            eprintln!("quickstart: `{other}` is not known; the only argument is --once");
            return ExitCode::from(2);
        }
    };
    match run(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(once: bool) -> anyhow::Result<()> {
    let log = simple_logger::SimpleLogger::new().with_level(log::LevelFilter::Warn).with_utc_timestamps();
    // The broker calls all that it does an error; and that state in a temporary directory does not last is intended.
    let log = log.with_module_level("rumqttd", log::LevelFilter::Off);
    log.with_module_level("twinlet::state_dir", log::LevelFilter::Error).init()?;
    let state = tempfile::tempdir()?;

    step("A broker and an artifact server, as a hub would have them");
    let broker_port = broker::start()?;
    say(&format!("broker     mqtt://127.0.0.1:{broker_port}"));
    let server = ArtifactServer::start(&prebuilt())?;
    say(&format!("artifacts  {}", server.url));

    step("The agent, on an empty state directory");
    let config = config(broker_port, &server.url, state.path())?;
    let agent = Agent::start(&config)?;
    let address = agent.address().context("the agent has no public door")?;
    let base = format!("http://{address}");
    say(&format!("node {} listens on {base}", agent.node()));
    let operator = Operator::connect(broker_port, NODE)?;
    operator.await_online()?;
    say("it has told the broker that it is online");

    step("The operator publishes a desired state with two functions");
    let desired = desired(&server)?;
    println!("{}", serde_json::to_string_pretty(&desired)?);
    operator.publish_desired(&desired)?;

    step("The agent reports how it gets there");
    operator.await_running(&["hello", "filter"])?;

    step("Requests");
    requests(&base)?;

    step("What the filter let pass has reached the broker");
    let message = operator.await_telemetry("filter")?;
    ensure!(message.get("value") == Some(&json!(23.5)), "the telemetry message is {message}");

    step("A heartbeat");
    operator.await_heartbeat(|beat| {
        beat.pointer("/metrics/total_invocations").and_then(Value::as_u64) >= Some(2)
    })?;

    if once {
        step("Done");
        ensure!(agent.stop(), "the agent did not stop cleanly");
        operator.await_offline()?;
        say("the agent stopped, and the broker knows that it is offline; every answer was right");
        return Ok(());
    }
    step("It serves until Ctrl-C. Try");
    shown::curl_lines(&base, &config.local_socket, broker_port);
    wait_for_ctrl_c(&agent)?;
    agent.stop();
    Ok(())
}

/// The agent's settings, as its environment would give them.
fn config(broker_port: u16, artifacts: &str, state: &Path) -> anyhow::Result<Config> {
    let state = state.display().to_string();
    let env = [
        ("NODE_ID", NODE.to_owned()),
        ("MQTT_BROKER", format!("mqtt://127.0.0.1:{broker_port}")),
        ("CP_URL", artifacts.to_owned()),
        ("CACHE_DIR", state),
        ("LISTEN_ADDR", "127.0.0.1".to_owned()),
        ("LISTEN_PORT", "0".to_owned()),
        ("HEARTBEAT_INTERVAL_SECS", "5".to_owned()),
        ("LOG_LEVEL", "warn".to_owned()),
    ];
    let env = env.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    Config::resolve(Layers { env, ..Layers::default() }).map_err(|problems| anyhow::anyhow!("{problems}"))
}

/// Where this repository keeps the built sample modules.
fn prebuilt() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/prebuilt")
}

fn desired(server: &ArtifactServer) -> anyhow::Result<Value> {
    let function = |name: &str, more: Value| -> anyhow::Result<Value> {
        // Relative to CP_URL.
        let mut function = json!({ "version": 1, "artifact_url": name, "sha256": server.sha256(name)? });
        if let (Some(function), Value::Object(more)) = (function.as_object_mut(), more) {
            function.extend(more);
        }
        Ok(function)
    };
    Ok(json!({
        "$version": 1,
        "functions": {
            "hello": function("hello-http.wasm", json!({}))?,
            "filter": function("sensor-filter.wasm", json!({
                "config": { "threshold": 21.5 },
                "permissions": { "telemetry": true } }))?,
        },
        "routes": {
            "hello": { "path": "/hello/*", "function_id": "hello", "methods": ["GET"] },
            "readings": { "path": "/readings", "function_id": "filter", "methods": ["GET", "POST"] },
        } }))
}

fn requests(base: &str) -> anyhow::Result<()> {
    let hello = shown::exchange("GET", &format!("{base}/hello?name=gateway"), None)?;
    ensure!(hello.0 == 200 && hello.1.contains("Hello, gateway"), "the greeting is wrong");
    let readings = r#"[{"sensor":"t1","value":19.0},{"sensor":"t1","value":23.5}]"#;
    let filtered = shown::exchange("POST", &format!("{base}/readings"), Some(readings))?;
    let answer: Value = serde_json::from_str(&filtered.1)?;
    ensure!(filtered.0 == 200 && answer.get("passed") == Some(&json!(1)), "the filter's answer is wrong");
    let missing = shown::exchange("GET", &format!("{base}/nowhere"), None)?;
    ensure!(missing.0 == 404 && missing.1.contains("Route not found"), "the 404 is wrong");
    Ok(())
}

fn wait_for_ctrl_c(agent: &Agent) -> std::io::Result<()> {
    agent.handle().block_on(tokio::signal::ctrl_c())
}
