//! `twinlet inspect`, and what it says against what an agent does with the same component.

use twinlet_tests::cli::Said;
use twinlet_tests::{Cli, artifacts, guests};

use crate::site;

fn inspect(name: &str, bytes: &[u8], more: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    let left = tempfile::tempdir().unwrap();
    let cli = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).env("TMPDIR", left.path().display());
    let said = cli.run(&[&["inspect", file.to_str().unwrap()], more].concat());
    assert_eq!(std::fs::read_dir(left.path()).unwrap().count(), 0, "it leaves nothing behind");
    said
}

#[test]
fn a_component_is_told_from_its_digest_to_what_the_agent_does_with_it() {
    let bytes = guests::prebuilt("hello-http");
    let found = inspect("hello.wasm", &bytes, &["--json"]).done().json();
    assert_eq!(found["sha256"], artifacts::sha256(&bytes));
    assert_eq!(found["size"], bytes.len());
    assert_eq!(found["exports"][0]["name"], "twinlet:device/http-handler@0.1.0");
    assert_eq!(found["exports"][0]["use"], "answers the requests of its routes");
    assert_eq!(found["imports"], serde_json::json!(["twinlet:device/types@0.1.0"]));
    assert_eq!(found["missing"], serde_json::json!([]));
    assert!(
        found["memories"][0]["min"].as_u64().unwrap() >= 1 && found["compiled_size"].as_u64().unwrap() > 1000
    );
    let said = inspect("hello.wasm", &bytes, &[]).done().out;
    assert!(said.contains("verdict   the agent would take it"), "{said}");
}

#[test]
fn each_kind_of_export_is_known() {
    for (sample, export, does) in [
        ("counter-actor", "twinlet:device/actor@0.1.0", "takes messages"),
        ("hello-proxy", "wasi:http/incoming-handler@0.2", "answers the requests"),
        ("request-log", "twinlet:device/on-error@0.1.0", "can be attached"),
        ("auth", "twinlet:device/on-request@0.1.0", "can be attached before functions"),
    ] {
        let said = inspect("x.wasm", &guests::prebuilt(sample), &[]).done().out;
        let line = said.lines().find(|line| line.contains(export)).unwrap_or_else(|| panic!("{said}"));
        assert!(line.starts_with("exports") && line.contains(does), "{line}");
    }
}

#[test]
fn a_missing_import_is_named_as_the_agent_names_it() {
    let bytes = guests::imports_unknown();
    let said = inspect("x.wasm", &bytes, &[]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("missing   acme:unknown/thing@1.0.0"), "{said:?}");
    let refused = inspect("x.wasm", &bytes, &["--json"]).json()["refused"].clone();
    let site = site();
    let function = site.function("fn", bytes);
    site.hub.publish_desired(twinlet_tests::Desired::version(1).function(function));
    let of_agent = site.hub.last_error("fn");
    assert!(of_agent.contains(refused.as_str().unwrap()), "{refused} is not what the agent says: {of_agent}");
}

#[test]
fn what_is_no_component_is_told_what_it_is() {
    for (bytes, why) in [
        (guests::not_a_component(), "`wasm-tools component new` wraps one"),
        (guests::noise(500), "it is not WebAssembly"),
        (Vec::new(), "it is not WebAssembly"),
        ([&b"\0asm\x0d\0\x01\0"[..], &guests::noise(50)].concat(), "it does not compile"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "it exports no twinlet:device/http-handler"),
    ] {
        let said = inspect("x.wasm", &bytes, &[]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.out.contains(why), "{why}: {said:?}");
    }
    let said = Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).run(&["inspect", "/no/such.wasm"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("/no/such.wasm"), "{said:?}");
}

#[test]
fn the_limits_are_those_of_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("t.toml");
    std::fs::write(&config, "max_memory_pages = 4\n").unwrap();
    let config = config.to_str().unwrap();
    let hello = guests::prebuilt("hello-http");
    let said = inspect("x.wasm", &hello, &["--config", config]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("max_memory_pages (4)"), "{said:?}");
    std::fs::write(config, "artifact_max_bytes = 2000\n").unwrap();
    assert!(inspect("x.wasm", &hello, &["--config", config]).out.contains("artifact_max_bytes (2000)"));
    std::fs::write(config, "max_memory_pages = -4\n").unwrap();
    assert_eq!(inspect("x.wasm", &hello, &["--config", config]).code, 78);
}
