//! `twinlet new`: a project is made, tested, built and deployed as its README says.

use std::path::Path;
use std::process::Command;

use twinlet_tests::cli::Said;
use twinlet_tests::{Cli, guests};

use crate::{agent, twinlet};

fn new(args: &[&str]) -> Said {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).run(&[&["new"], args].concat())
}

/// Runs a program of the project with what cargo needs, and returns whether it did well. What has been built of the
/// guest modules is not built again.
fn runs(project: &Path, program: &str, args: &[&str]) -> bool {
    let target = guests::repository().join("modules/target");
    let mut command = Command::new(program);
    // The toolchain is the project's own, not the one that these tests were started with.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(args).current_dir(project).env("CARGO_TARGET_DIR", target).status().unwrap().success()
}

/// Whether there is a standard library for wasm32, or the source of one.
fn builds_wasm() -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let rustlib = Path::new(String::from_utf8(sysroot).unwrap().trim()).join("lib/rustlib");
    let there = rustlib.join("wasm32-unknown-unknown/lib").exists()
        || rustlib.join("src/rust/library/Cargo.lock").exists();
    if !there {
        eprintln!("*** LEFT OUT: a new project is not built; rustup target add wasm32-unknown-unknown ***");
    }
    there
}

#[test]
fn a_new_project_is_tested_built_deployed_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("greeter");
    let place = project.to_str().unwrap();
    let said = new(&["greeter", "--dir", place]).done();
    assert!(said.out.contains("./build && twinlet deploy greeter.wasm --route /greeter"), "{said:?}");
    if !builds_wasm() {
        return;
    }
    // From what is on this machine, else from the registry.
    let offline = runs(&project, "cargo", &["fetch", "--quiet", "--offline"]);
    let more: &[&str] = if offline { &["--offline"] } else { &[] };
    assert!(runs(&project, "cargo", &[&["test", "--quiet"], more].concat()), "its own tests fail");
    assert!(runs(&project, "./build", more), "it does not build");

    let agent = agent().start();
    let (cli, file) = (twinlet(&agent), project.join("greeter.wasm"));
    let file = file.to_str().unwrap();
    assert_eq!(cli.run(&["inspect", file]).code, 0);
    cli.run(&["deploy", file, "--route", "/greeter"]).done();
    assert_eq!(agent.get("/greeter").text(), "Hello from /greeter\n");
    cli.run(&["deploy", file, "--route", "/greeter", "--config", r#"{"greeting":"Moin"}"#]).done();
    assert_eq!(agent.get("/greeter").text(), "Moin from /greeter\n");
    assert_eq!(agent.post("/greeter", "x").status, 405);
}

#[test]
fn what_is_there_is_not_touched_and_a_name_is_an_id() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("there");
    std::fs::create_dir(&place).unwrap();
    let said = new(&["hello", "--dir", place.to_str().unwrap()]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("is there already"), "{said:?}");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    for name in ["../up", "Hello", "a b", "-x", ""] {
        let said = new(&["--dir", dir.path().join("new").to_str().unwrap(), "--", name]);
        assert_eq!(said.code, 2, "{name}: {said:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
}
