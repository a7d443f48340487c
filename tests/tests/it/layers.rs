//! Holds the house's import rules: which module of the agent may know which other, and where each dependency lives.
//! It reads the sources as text, so it knows names and no types.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use twinlet_tests::guests::repository;

/// Every module of the agent: its layer, and the modules of the same layer that it may import. Lower layers may be
/// imported without a word, higher ones never.
const HOUSE: &[(&str, u8, &[&str])] = &[
    // 0, pure: no I/O, no tokio.
    // The file of API keys holds ids and path patterns as desired state does.
    ("config", 0, &["desired"]),
    ("desired", 0, &[]),
    ("hub", 0, &["desired"]),
    ("status", 0, &["desired"]),
    ("metrics", 0, &["desired"]),
    ("plan", 0, &["desired"]),
    ("backoff", 0, &[]),
    ("moment", 0, &[]),
    ("routes", 0, &["desired"]),
    ("chains", 0, &["desired", "routes"]),
    // 1, edges: each touches one thing outside.
    ("state_dir", 1, &[]),
    ("store", 1, &["state_dir"]),
    ("clock", 1, &["store"]),
    ("artifacts", 1, &["state_dir"]),
    ("seal", 1, &[]),
    ("fetch", 1, &["thread"]),
    ("engine", 1, &[]),
    ("compile", 1, &["engine"]),
    ("workers", 1, &["engine", "thread"]),
    ("pool", 1, &["engine", "workers"]),
    ("board", 1, &[]),
    ("process", 1, &[]),
    ("logs", 1, &["board"]),
    ("thread", 1, &[]),
    ("serving", 1, &["pool"]),
    ("outbox", 1, &["store"]),
    ("keyvalue", 1, &["store"]),
    // Mailboxes are reached by the doors as well as by the reconciler, so actors are an edge, not a driver.
    ("actors", 1, &["pool", "workers", "store", "board", "thread"]),
    ("mqtt", 1, &["outbox"]),
    // It takes the messages that mqtt received, and acknowledges them once they are stored.
    ("twin", 1, &["mqtt", "store", "board"]),
    (
        "http",
        1,
        &[
            "serving",
            "engine",
            "pool",
            "workers",
            "actors",
            "board",
            "process",
            "thread",
            // What the management API changes and tells of.
            "twin",
            "store",
            "artifacts",
            "logs",
            "outbox",
            "fetch",
            "state_dir",
        ],
    ),
    // 2, drivers: they know neither MQTT nor HTTP, see FORBIDDEN.
    ("prepare", 2, &[]),
    ("reconciler", 2, &["prepare"]),
    ("rehearsal", 2, &["prepare"]),
    ("reporter", 2, &[]),
    // 3, wiring: may know everything.
    ("agent", 3, &[]),
    ("cli", 3, &["agent"]),
    ("lib", 3, &["agent", "cli"]),
    ("main", 3, &["agent", "cli", "lib"]),
    // What tests/fuzz calls; no part of the agent.
    ("fuzzing", 3, &[]),
];

/// What a whole layer must not import although it lies lower.
const FORBIDDEN: &[(u8, &[&str])] = &[(2, &["mqtt", "http"])];

/// Dependencies with one home: crate, and the files or folders below `agent/src` that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("rumqttc", &["mqtt"]),
    ("sled", &["store"]),
    ("crc32fast", &["store", "state_dir"]),
    ("tiny_http", &["http/local"]),
    ("hyper", &["http/public"]),
    ("hyper_util", &["http/public"]),
    ("tokio_rustls", &["http/public"]),
    ("http_body_util", &["http", "pool"]),
    ("wasmtime", &["compile", "engine", "pool"]),
    ("wasmtime_wasi", &["engine"]),
    // At home in host-functions alone, as is what guests send by ureq.
    ("wasmtime_wasi_http", &[]),
    ("ureq", &["fetch", "cli/client"]),
    ("base64", &["http", "fetch/oci", "desired/signature", "cli/signing"]),
    ("rusty_s3", &["fetch/s3"]),
    ("tar", &["http/api/serverledge"]),
    ("prometheus", &["metrics"]),
    ("clap", &["cli"]),
    ("toml", &["config"]),
    ("simple_logger", &["agent", "cli"]),
    ("sd_notify", &["agent/notify"]),
    ("time", &["moment"]),
];

/// What layer 0 must not name: it does no I/O and waits for nothing.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::os",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::{Tcp",
];

/// One file of the agent.
struct Source {
    /// Its path below `src`, without `.rs`; a folder's `mod.rs` has the folder's.
    place: String,
    /// What it says, without comments and tests.
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        self.place.split('/').next().unwrap()
    }

    /// How many `super` lead from here to the crate's root. A file `a.rs` or `a/mod.rs` is one below it.
    fn depth(&self) -> usize {
        self.place.split('/').count()
    }
}

#[test]
fn every_module_has_its_place_in_the_table() {
    let known: BTreeSet<&str> = HOUSE.iter().map(|(name, ..)| *name).collect();
    let found: BTreeSet<String> = agent().iter().map(|s| s.module().to_owned()).collect();
    for module in &found {
        assert!(
            known.contains(module.as_str()),
            "agent/src/{module} is not in HOUSE (tests/tests/it/layers.rs): decide on its layer, see the table in \
             DESIGN.md or lib.rs, and name the siblings it may import"
        );
    }
    let siblings = HOUSE.iter().flat_map(|(_, _, siblings)| siblings.iter());
    for sibling in siblings {
        assert!(known.contains(sibling), "HOUSE names {sibling} as a sibling, which is no module");
    }
}

#[test]
fn no_module_imports_upward_or_a_sibling_it_does_not_name() {
    let place = |name: &str| HOUSE.iter().find(|(n, ..)| *n == name);
    let mut wrong = Vec::new();
    for source in agent() {
        let Some((name, layer, siblings)) = place(source.module()) else { continue };
        for import in imports(&source) {
            let Some((_, other, _)) = place(&import) else { continue };
            let forbidden = FORBIDDEN.iter().any(|(l, names)| l == layer && names.contains(&import.as_str()));
            let fine =
                import == *name || (other < layer && !forbidden) || siblings.contains(&import.as_str());
            if !fine {
                wrong.push(format!("{} (layer {layer}) imports {import} (layer {other})", source.place));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the house's rules:\n{}", wrong.join("\n"));
}

#[test]
fn each_dependency_stays_at_home() {
    let mut wrong = Vec::new();
    for source in agent() {
        for (dependency, homes) in HOMES {
            let at_home =
                homes.iter().any(|h| source.place == *h || source.place.starts_with(&format!("{h}/")));
            if !at_home && names_crate(&source.code, dependency) {
                wrong.push(format!("{} names {dependency}, whose home is {homes:?}", source.place));
            }
        }
    }
    for source in sources(&repository().join("host-functions/src")) {
        let outbound = source.place.starts_with("http_client");
        let streamed = source.place.starts_with("wasi_http");
        for (dependency, _) in HOMES {
            let at_home = match *dependency {
                "ureq" => outbound,
                "http_body_util" => streamed,
                other => other.starts_with("wasmtime"),
            };
            if !at_home && names_crate(&source.code, dependency) {
                wrong.push(format!("host-functions: {} names {dependency}", source.place));
            }
        }
        if names_crate(&source.code, "twinlet") {
            wrong.push(format!("host-functions: {} imports the agent", source.place));
        }
    }
    assert!(wrong.is_empty(), "dependencies away from home:\n{}", wrong.join("\n"));
}

#[test]
fn the_pure_layer_does_no_io() {
    let pure = |s: &Source| HOUSE.iter().any(|(name, layer, _)| *name == s.module() && *layer == 0);
    let mut wrong = Vec::new();
    for source in agent().iter().filter(|s| pure(s)) {
        for name in IMPURE.iter().filter(|name| source.code.contains(*name)) {
            wrong.push(format!("{} names {name}", source.place));
        }
    }
    assert!(wrong.is_empty(), "not pure:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let source = |place: &str, text: &str| Source { place: place.to_owned(), code: code(text) };
    let deep = source(
        "http/public",
        "use crate::{desired::{A, B}, routes, plan::plan};\nuse super::super::store::X; // crate::mqtt\n\
         fn f() { crate::engine::tunables(); super::service() }\n#[cfg(test)]\nmod tests { use crate::twin; }",
    );
    assert_eq!(imports(&deep), ["desired", "engine", "plan", "routes", "store"].map(str::to_owned).into());
    let flat =
        source("pool", "use super::engine::Runtime;\nuse self::inner::X;\n/// [`crate::http`]\nstruct S;");
    assert_eq!(imports(&flat), ["engine"].map(str::to_owned).into());
    assert!(names_crate("use hyper::Request;", "hyper") && names_crate("x: ::sled::Db", "sled"));
    assert!(!names_crate("use hyper_util::rt;", "hyper") && !names_crate("mod sled_like;", "sled"));
}

fn agent() -> Vec<Source> {
    let sources = sources(&repository().join("agent/src"));
    assert!(!sources.is_empty(), "no sources of the agent found");
    sources
}

fn sources(root: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    walk(root, &mut files);
    files.sort();
    let source = |path: PathBuf| {
        let place = path.strip_prefix(root).unwrap().with_extension("");
        let place = place.to_str().unwrap();
        let place = place.strip_suffix("/mod").unwrap_or(place).to_owned();
        (!place.ends_with("tests")).then(|| Source { place, code: code(&fs::read_to_string(&path).unwrap()) })
    };
    files.into_iter().filter_map(source).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The text without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let line = |line: &str| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => line.split(" // ").next().unwrap().to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The top-level modules of its own crate that a file names.
fn imports(source: &Source) -> BTreeSet<String> {
    let up = "super::".repeat(source.depth());
    let mut found = BTreeSet::new();
    for root in ["crate::", up.as_str()] {
        for (at, _) in source.code.match_indices(root) {
            let before = source.code[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '$') {
                found.extend(first_names(&source.code[at + root.len()..]));
            }
        }
    }
    found
}

/// The first name of a path, or of each path in a `{…}` group.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return vec![name_at(rest)] };
    let (mut depth, mut names, mut start) = (1, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.push(name_at(group[start..at].trim_start()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether code names a crate as the beginning of a path.
fn names_crate(code: &str, name: &str) -> bool {
    let ends =
        |at: usize| code[at + name.len()..].starts_with("::") || code[at + name.len()..].starts_with(';');
    let begins = |at: usize| {
        let before = code[..at].trim_end_matches("::");
        let own_path = before.len() < at && before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let one_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        !own_path && !one_word
    };
    let used = |at: usize| code[at + name.len()..].starts_with("::") || code[..at].ends_with("use ");
    code.match_indices(name).any(|(at, _)| begins(at) && ends(at) && used(at))
}
