//! What signs and what is trusted: `twinlet keygen` and `twinlet sign`, openssl as the contract has it, and the file of
//! keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use twinlet_tests::guests::{self, repository};
use twinlet_tests::{DEADLINE, Function, Site, desired};

use super::{Release, cli, trusting};
use crate::agent;

#[test]
fn a_signature_as_it_is_printed_lets_a_deployment_in() {
    let ours = Release::new();
    let site = Site::start(trusting(&[&ours]));
    let component = guests::answers("by hand");
    let artifact = site.artifact("fn", component.clone());
    let (key, file) = (ours.key(), ours.dir.path().join("fn.wasm"));
    fs::write(&file, component).unwrap();
    let args = [
        "sign",
        "--key",
        key.to_str().unwrap(),
        "--function",
        "fn",
        "--version",
        "3",
        file.to_str().unwrap(),
    ];
    let signature = cli().run(&args).done().out;
    assert_eq!(
        signature.trim_end(),
        ours.signature("fn", 3, &artifact.sha256),
        "of the file and of its digest"
    );
    let json = cli().run(&[&args[..], &["--json"]].concat()).done().json();
    assert_eq!(json["signature"], signature.trim_end());
    assert_eq!(json["public_key"], ours.line.trim_end());
    let function = Function::of("fn", &artifact).version(3).set("signature", signature.trim_end());
    site.hub.deploy(function.notification());
    site.hub.routes(desired::route_list("/fn", "fn"));
    site.agent.says("/fn", "by hand");
}

#[test]
fn keys_that_can_not_be_used_are_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let start = |env: &[(&str, &str)]| {
        let builder = env.iter().fold(agent(), |builder, (key, value)| builder.env(key, value));
        let mut agent = builder.spawn();
        let code = agent.wait_exit(DEADLINE);
        (code, agent.log_since(0).join("\n"))
    };
    let named = [("TRUSTED_KEYS_FILE", file.to_str().unwrap())];
    let (code, told) = start(&named);
    assert!(
        code == 78 && told.contains("trusted_keys_file") && told.contains("No such file"),
        "{code} {told}"
    );
    fs::write(&file, "# none\n").unwrap();
    let (code, told) = start(&named);
    assert!(code == 78 && told.contains("holds no key"), "{code} {told}");
    fs::write(&file, Release::new().line).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o646)).unwrap();
    let (code, told) = start(&named);
    assert!(code == 78 && told.contains("everyone may write to it"), "{code} {told}");
    let (code, told) = start(&[("REQUIRE_SIGNATURES", "true")]);
    assert!(
        code == 78 && told.contains("REQUIRE_SIGNATURES (environment): needs trusted_keys_file"),
        "{told}"
    );

    let check = |required: bool| {
        let cli = cli().env("CACHE_DIR", dir.path().join("state").display()).env("LISTEN_PORT", 0);
        let cli = cli.env("TRUSTED_KEYS_FILE", file.display()).env("REQUIRE_SIGNATURES", required);
        let report = cli.run(&["check", "--no-network", "--json"]).json();
        let found = report["findings"].as_array().unwrap().iter().find(|f| f["check"] == "trusted_keys_file");
        (found.unwrap()["result"].clone(), found.unwrap()["text"].as_str().unwrap().to_owned())
    };
    assert!(check(true).0 == "wrong" && check(true).1.contains("everyone may write"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(check(true).0 == "ok" && check(true).1.contains("keys that may sign: 1"));
    assert!(check(false).0 == "warning" && check(false).1.contains("REQUIRE_SIGNATURES=true"));
}

#[test]
fn keys_are_made_once_and_kept_closed() {
    let ours = Release::new();
    let key = ours.key();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key).unwrap();
    let again = cli().run(&["keygen", "--out", key.to_str().unwrap()]);
    assert!(again.code == 1 && again.err.contains("is there already"), "{again:?}");
    assert_eq!(fs::read(&key).unwrap(), before);
    assert!(!ours.line.contains("PRIVATE") && ours.line.lines().count() == 1, "{}", ours.line);
    let public = ours.dir.path().join("public");
    fs::write(&public, &ours.line).unwrap();
    let args = ["sign", "--key", public.to_str().unwrap(), "--document", "-"];
    let said = cli().run_with(&args, "{}");
    assert!(said.code == 1 && said.err.contains("holds no private key"), "{said:?}");
    assert_eq!(cli().run(&["sign", "--key", key.to_str().unwrap()]).code, 2);
}

/// The block of CONTRACT.md that shows how openssl signs.
fn example() -> String {
    let text = fs::read_to_string(repository().join("agent/CONTRACT.md")).unwrap();
    let mut blocks = text.split("```bash\n").skip(1);
    let block = blocks.next().unwrap().split("\n```").next().unwrap().to_owned();
    assert!(blocks.next().is_none(), "which of the scripts is the example?");
    block
}

#[test]
fn openssl_signs_as_the_contract_says() {
    let there = |tool: &str| Command::new(tool).arg("version").output().is_ok_and(|o| o.status.success());
    if !there("openssl") {
        eprintln!("*** LEFT OUT: signing by openssl, which is not there ***");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let component = guests::answers("by openssl");
    fs::write(dir.path().join("fn_abc123.wasm"), &component).unwrap();
    let run = |script: &str| {
        let output =
            Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let out = run(&example());
    let signature = out.lines().last().unwrap();
    assert!(out.contains("Signature Verified Successfully"), "{out}");

    // The device takes its key as openssl writes it, and its signature.
    let file = dir.path().join("release.pub");
    let builder = agent().env("TRUSTED_KEYS_FILE", file.display()).env("REQUIRE_SIGNATURES", true);
    let site = Site::start(builder);
    let artifact = site.artifact("fn_abc123", component);
    let function = Function::of("fn_abc123", &artifact).version(3).set("signature", signature);
    site.apply(1, |d| d.serving(function));
    site.agent.says("/fn_abc123", "by openssl");
    // `twinlet sign` makes the same of the same key.
    let args =
        ["sign", "--key", "release.pem", "--function", "fn_abc123", "--version", "3", &artifact.sha256];
    let output =
        Command::new(env!("CARGO_BIN_EXE_twinlet-agent")).args(args).current_dir(&dir).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), signature);
    // And openssl reads the keys of `twinlet keygen`.
    let made = Release::new();
    let public = run(&format!("openssl pkey -in {} -pubout", made.key().display()));
    assert!(public.contains(made.line.trim_end()), "{public}");
}
