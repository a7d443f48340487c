//! What the configuration promises as a whole: precedence, every problem at once, ranges, redaction, reloads.

use std::time::Duration;

use super::*;

fn layers(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Layers {
    Layers {
        file: Some(FileText { path: "twinlet.toml".into(), text: file.to_owned() }),
        env: env.iter().map(|(name, text)| (name.into(), text.into())).collect(),
        flags: flags.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
    }
}

fn resolved(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Resolved {
    Resolved::from_layers(layers(file, env, flags)).unwrap()
}

fn problems(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Vec<String> {
    match Config::resolve(layers(file, env, flags)) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(problems) => problems.as_slice().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn nothing_given_means_the_defaults() {
    let config = Config::resolve(Layers::default()).unwrap();
    assert_eq!(config.node_id, None);
    assert_eq!(config.cp_url, "http://localhost:8080");
    assert_eq!(config.fetch.base_url, config.cp_url);
    assert_eq!(config.cache_bytes, 10 << 30);
    assert_eq!(config.local_socket, PathBuf::from("/tmp/wasm-cache/twinlet.sock"));
    assert_eq!(config.http.listen, "0.0.0.0:3000".parse().unwrap());
    assert_eq!((config.mqtt.host.as_str(), config.mqtt.port, config.mqtt.tls), ("localhost", 1883, false));
    assert_eq!((config.instances.min, config.instances.max), (1, 10));
    assert_eq!(config.heartbeat_interval, Duration::from_secs(30));
    assert_eq!(config.guests.compile_memory_bytes, 1 << 30);
    assert_eq!(config.log_level, log::LevelFilter::Info);
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
    let file = "pop_id = 'file'\nlisten_port = 1\nlog_level = 'debug'\ncache_size_gb = 0.5";
    let env = [("POP_ID", "env"), ("LISTEN_PORT", "2"), ("PATH", "/bin"), ("pop_id", "not ours")];
    let it = resolved(file, &env, &[("pop_id", "flag")]);
    assert_eq!(it.config.pop_id, "flag");
    assert_eq!(it.config.http.listen.port(), 2);
    assert_eq!(it.config.log_level, log::LevelFilter::Debug);
    assert_eq!(it.config.cache_bytes, 1 << 29);
    let source = |key: &str| show(&it).into_iter().find(|row| row.key == key).unwrap().source;
    assert_eq!(source("pop_id"), "flag");
    assert_eq!(source("listen_port"), "environment");
    assert_eq!(source("log_level"), "twinlet.toml, line 3");
    assert_eq!(source("cp_url"), "default");
}

#[test]
fn an_empty_value_is_not_given() {
    let it = resolved(
        "pop_id = 'file'\nmqtt_ca_file = ''",
        &[("POP_ID", ""), ("LISTEN_PORT", "")],
        &[("pop_id", "")],
    );
    assert_eq!(it.config.pop_id, "file");
    assert_eq!(it.config.http.listen.port(), 3000);
}

#[test]
fn every_problem_of_every_layer_is_reported_at_once() {
    let found = problems(
        "mqtt_brokr = 'mqtt://x'\nmax_workers = 1\npop_id = true",
        &[("LISTEN_PORT", "abc"), ("NODE_ID", "a/b"), ("CP_URL", "ftp://x"), ("CACHE_SIZE_GB", "lots")],
        &[("listen_addr", "localhost"), ("log_level", "loud"), ("min_hot_instances", "11")],
    );
    let expected = [
        "mqtt_brokr (twinlet.toml, line 1): is not a key; did you mean `mqtt_broker`?",
        "pop_id (twinlet.toml, line 3): has the TOML type boolean; a string in quotes is expected",
        "CP_URL (environment): `ftp://x` does not begin with http:// or https://",
        "NODE_ID (environment): `a/b` holds '/'; a node id is one level of an MQTT topic, without `/`, `+`, `#` or \
         control characters",
        "CACHE_SIZE_GB (environment): `lots` is not a number of GB from 0.01 to 100000, with at most three decimals",
        "--log-level (flag): `loud` is not one of off, error, warn, info, debug, trace",
        "--min-hot-instances (flag): `11` is more than max_hot_instances, which is 10",
        "--listen-addr (flag): `localhost` is not an IP address such as 0.0.0.0, 127.0.0.1 or ::",
        "LISTEN_PORT (environment): `abc` is not a port from 0 to 65535",
        "max_workers (twinlet.toml, line 2): `1` is not a number from 2 to 256",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_broken_file_does_not_hide_the_other_layers_problems() {
    let found = problems("= 1", &[("LISTEN_PORT", "x")], &[]);
    assert!(found[0].starts_with("twinlet.toml, line 1: is not TOML"), "{found:?}");
    assert!(found.last().unwrap().starts_with("LISTEN_PORT (environment)"), "{found:?}");
}

#[test]
fn each_number_accepts_its_bounds_and_nothing_beyond() {
    for key in KEYS {
        let Kind::Whole { min, max, .. } = key.kind else { continue };
        let accepted = |text: String| {
            // The largest maximum, so that min_hot_instances can be tried alone.
            let flags = vec![("max_hot_instances", "4096".to_owned()), (key.name, text)];
            let found = Config::resolve(Layers { flags, ..Layers::default() }).err();
            let lone_max = key.name == "max_hot_instances";
            found.is_none_or(|found| {
                lone_max && found.as_slice().iter().all(|it| it.fault.contains("is more than"))
            })
        };
        assert!(accepted(min.to_string()) && accepted(max.to_string()), "{}", key.name);
        let beyond = [(max + 1).to_string(), i128::from(min).saturating_sub(1).to_string()];
        for bad in beyond
            .into_iter()
            .chain(["18446744073709551616", "-1", "1.5", " 7", "0x10", "nan"].map(Into::into))
        {
            assert!(!accepted(bad.clone()), "{} accepted {bad}", key.name);
        }
        let default = key.default.unwrap().parse::<u64>().unwrap();
        assert!((min..=max).contains(&default), "{}", key.name);
    }
}

#[test]
fn tls_files_and_credentials_must_fit_together() {
    let tls = ("MQTT_BROKER", "mqtts://hub:8883");
    let it =
        resolved("", &[tls, ("MQTT_CERT_FILE", "/c"), ("MQTT_KEY_FILE", "/k"), ("MQTT_CA_FILE", "/a")], &[]);
    assert_eq!(it.config.mqtt.client_cert, Some(("/c".into(), "/k".into())));
    assert_eq!(it.config.mqtt.ca_file, Some("/a".into()));
    let one = |env: &[(&str, &str)], expected: &str| assert_eq!(problems("", env, &[]), [expected]);
    one(&[tls, ("MQTT_CERT_FILE", "/c")], "MQTT_CERT_FILE (environment): needs mqtt_key_file as well");
    one(&[tls, ("MQTT_KEY_FILE", "/k")], "MQTT_KEY_FILE (environment): needs mqtt_cert_file as well");
    one(&[("MQTT_PASSWORD", "x")], "MQTT_PASSWORD (environment): needs mqtt_username as well");
    let useless = "is of no use with mqtt://; write mqtts:// in mqtt_broker, or leave this out";
    one(&[("MQTT_CA_FILE", "/a")], &format!("MQTT_CA_FILE (environment): {useless}"));
    let twice = "is given beside the user in mqtt_broker; give credentials in one place";
    one(
        &[("MQTT_BROKER", "mqtt://u:p@h"), ("MQTT_USERNAME", "v")],
        &format!("MQTT_USERNAME (environment): {twice}"),
    );
}

#[test]
fn signatures_can_be_required_only_of_somebody() {
    let config = resolved("require_signatures = true\ntrusted_keys_file = '/k'", &[], &[]).config;
    assert_eq!(config.signatures, Signatures { keys_file: Some("/k".into()), required: true });
    let keys = ("TRUSTED_KEYS_FILE", "/k");
    for (text, required) in [("true", true), ("1", true), ("false", false), ("0", false), ("", false)] {
        let config = resolved("", &[keys, ("REQUIRE_SIGNATURES", text)], &[]).config;
        assert_eq!(config.signatures.required, required, "{text}");
    }
    let one =
        |file: &str, env: &[(&str, &str)], expected: &str| assert_eq!(problems(file, env, &[]), [expected]);
    one(
        "",
        &[("REQUIRE_SIGNATURES", "true")],
        "REQUIRE_SIGNATURES (environment): needs trusted_keys_file as well: who may sign?",
    );
    one(
        "",
        &[keys, ("REQUIRE_SIGNATURES", "yes")],
        "REQUIRE_SIGNATURES (environment): `yes` is not true, false, 1 or 0",
    );
    let quoted = "has the TOML type string; true or false, without quotes, is expected";
    let place = "require_signatures (twinlet.toml, line 1)";
    one("require_signatures = 'true'", &[], &format!("{place}: {quoted}"));
}

#[test]
fn a_socket_path_too_long_to_bind_is_refused_also_when_derived() {
    let dir = format!("/{}", "d".repeat(100));
    let found = problems("", &[("CACHE_DIR", dir.as_str())], &[]);
    assert!(found[0].starts_with("local_socket (default): ") && found[0].contains("114 bytes"), "{found:?}");
    resolved("", &[("CACHE_DIR", dir.as_str()), ("LOCAL_SOCKET", "/run/t.sock")], &[]);
}

#[test]
fn secrets_are_never_printed() {
    let env = [("MQTT_BROKER", "mqtt://user:hunter2@hub"), ("MINIO_SECRET_KEY", "hunter2")];
    let it = resolved("", &env, &[]);
    assert_eq!(it.config.mqtt.password.as_ref().map(Secret::reveal), Some("hunter2"));
    let shown = format!("{:?} {it:?} {:?}", it.config, show(&it));
    assert!(!shown.contains("hunter2") && shown.contains("mqtt://***@hub"), "{shown}");

    let broken = [
        ("MQTT_BROKER", "mqtt://user:hunter2@hub:99999"),
        ("CP_URL", "http://user:hunter2@hub"),
        ("MINIO_ENDPOINT", "user:hunter2@hub"),
        ("MINIO_SECRET_KEY", "hunter2\n"),
        ("MQTT_PASSWORD", "hunter2"),
    ];
    let found =
        problems("mqtt_password = 'hunter2'\nminio_secret_key = ['hunter2']\nx = 'hunter2'", &broken, &[]);
    assert!(found.len() >= 6 && !found.concat().contains("hunter2"), "{found:#?}");
}

#[test]
fn a_faulty_value_is_quoted_on_one_line_and_cut() {
    let found = problems("", &[("LISTEN_PORT", &"9".repeat(500)), ("POP_ID", "a\nb")], &[]);
    assert_eq!(found[0], "POP_ID (environment): `a\\nb` holds the control character '\\n'");
    assert!(found[1].len() < 200 && found[1].contains("…"), "{found:?}");
}

#[test]
fn a_reload_tells_what_it_applies_from_what_needs_a_restart() {
    let old = resolved("log_level = 'info'\npop_id = 'a'", &[("CACHE_DIR", "/a")], &[]);
    let new = resolved(
        "log_level = 'debug'\nmqtt_broker = 'mqtt://other'",
        &[("CACHE_DIR", "/b"), ("POP_ID", "a")],
        &[],
    );
    let differences = reload_differences(&old, &new);
    assert_eq!(differences.applied, ["log_level", "mqtt_broker"]);
    assert_eq!(differences.needs_restart, ["cache_dir", "local_socket"]);
    assert_eq!(reload_differences(&new, &new), ReloadDifferences::default());
}

#[test]
fn the_packaged_file_says_the_defaults_when_every_line_of_it_is_uncommented() {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = commented_toml().lines().map(uncomment).collect();
    let it = resolved(&lines.join("\n"), &[], &[]);
    assert_eq!(it.config, Config::resolve(Layers::default()).unwrap());
    assert_eq!(
        lines.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(),
        KEYS.len()
    );
}

#[test]
fn the_readme_has_the_table_of_keys() {
    let readme = include_str!("../../../README.md");
    if !readme.contains(&markdown_table()) {
        std::fs::write(std::env::temp_dir().join("twinlet-config-table.md"), markdown_table()).unwrap();
        panic!("README.md's configuration tables are not markdown_table(); it is in the temporary directory");
    }
}
