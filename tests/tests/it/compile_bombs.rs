//! Components that blow up when they are compiled: each ends as one reported error that says which limit it was, in
//! bounded memory and time, and a function beside it answers throughout.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::Value;
use twinlet_tests::guests::bombs;
use twinlet_tests::wait::EndOf;
use twinlet_tests::{DEADLINE, Desired, Site, eventually};

use crate::agent;
use crate::neighbour;

const MEMORY_MB: u64 = 256;
const SECONDS: u64 = 3;
const MEMORY: &str = "compile_memory_mb";
const TIME: &str = "compile_timeout_secs";
/// What a component says that got through the compiler: none of them exports what could be called.
const NOTHING_TO_CALL: &str = "export";

/// What was seen of a compiling process.
#[derive(Debug, Default)]
struct Seen {
    /// The most memory it held, in KiB.
    most_kib: u64,
    /// Its threads and open files, at most.
    threads: u64,
    files: usize,
    /// What makes it the first to go.
    oom_score_adj: i64,
}

/// Looks at an agent's compiling child, if there is one now.
fn look_at_child_of(agent: u32, seen: &mut Seen) {
    for child in children_of(agent) {
        // It may end at any moment.
        let Ok(status) = std::fs::read_to_string(child.join("status")) else { continue };
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        seen.most_kib = seen.most_kib.max(of("VmHWM:").unwrap_or(0));
        seen.threads = seen.threads.max(of("Threads:").unwrap_or(0));
        // Once its filter stands it is in the jail; before, it is still being loaded. Nobody but root sees the files of a
        // process that is not to be looked into.
        if of("Seccomp:") == Some(2)
            && let Ok(files) = std::fs::read_dir(child.join("fd"))
        {
            seen.files = seen.files.max(files.count());
        }
        let score = std::fs::read_to_string(child.join("oom_score_adj"));
        seen.oom_score_adj = seen.oom_score_adj.max(score.map_or(0, |s| s.trim().parse().unwrap_or(0)));
    }
}

/// The processes of an agent, of which it starts none but compilers.
fn children_of(agent: u32) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|path| is_child(path, agent)).collect()
}

fn is_child(process: &std::path::Path, parent: u32) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    // The 4th field of proc(5); the 2nd may hold anything in its parentheses.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().nth(1) == Some(&parent.to_string())
}

/// Deploys a bomb beside a function that is asked all the time. It must end with one of these words as its last error.
fn ends(bomb: Vec<u8>, with: &[&str]) {
    let limited = agent()
        .env("COMPILE_MEMORY_MB", MEMORY_MB)
        .env("COMPILE_TIMEOUT_SECS", SECONDS)
        .env("ARTIFACT_MAX_BYTES", 32 << 20);
    let site = Site::start(limited);
    neighbour::deploy(&site, []);
    let began = Instant::now();
    let (seen, done) = (Mutex::new(Seen::default()), AtomicBool::new(false));
    let bomb = site.function("bomb", bomb);
    let document = neighbour::with_neighbour(&site, Desired::version(2).function(bomb));
    let report = neighbour::beside(&site, 0, || {
        std::thread::scope(|threads| {
            let _end = EndOf(&done);
            threads.spawn(|| {
                while !done.load(SeqCst) {
                    look_at_child_of(site.agent.pid(), &mut seen.lock().unwrap());
                }
            });
            site.hub.publish_desired(document);
            site.hub.reported_where("the bomb's last error", |report| {
                report["functions"]["bomb"]["lastError"].is_string()
            })
        })
    });
    let bomb = &report["functions"]["bomb"];
    let why = bomb["lastError"].as_str().unwrap();
    assert!(with.iter().any(|word| why.contains(word)), "{why}");
    // On a machine that is busy otherwise it is the clock on the wall that ends it, which may be tried again.
    let busy = why.contains("four times");
    assert_eq!(bomb["phase"], if busy { "backoff" } else { "failed" }, "{bomb}");
    let failures = site.agent.metrics().sum("twinlet_function_failures_total", &["function_id=\"bomb\""]);
    assert!(busy || failures == 1.0, "{failures} failures");
    // Four times its processor time, and as much for the test's own work.
    assert!(began.elapsed() < Duration::from_secs(4 * SECONDS) + DEADLINE / 2, "{:?}", began.elapsed());
    let seen = seen.into_inner().unwrap();
    assert!(seen.most_kib <= MEMORY_MB << 10, "{seen:?}");
    assert_eq!((seen.threads, seen.oom_score_adj), (1, 1_000), "{seen:?}");
    assert!(seen.files <= 5, "its three streams, the first two of them twice: {seen:?}");
    site.agent.log_line_where("what jail it was in", |line| line.contains("components are compiled"));
    assert!(no_traces(&site), "something of it is left on the disk");
    let functions: Vec<&str> = report["functions"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        (functions, &report["functions"]["hello"]["phase"]),
        (vec!["bomb", "hello"], &Value::from("running"))
    );
}

/// Whether nothing half written is left, and nothing compiled but what serves.
fn no_traces(site: &Site) -> bool {
    let files = std::fs::read_dir(site.agent.state_dir().join("artifacts")).unwrap();
    let names: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    let with = |extension: &str| {
        names.iter().filter(|name| name.extension().is_some_and(|e| e == extension)).count()
    };
    with("part") == 0 && with("cwasm") <= 2
}

#[test]
fn a_compiler_ends_with_its_agent() {
    let mut site = Site::start(agent());
    let bomb = site.function("bomb", bombs::empty_functions(900_000));
    site.hub.publish_desired(Desired::version(1).function(bomb));
    let child = eventually("a child in its jail", || {
        children_of(site.agent.pid()).into_iter().find(|child| {
            std::fs::read_to_string(child.join("oom_score_adj")).is_ok_and(|score| score.trim() == "1000")
        })
    });
    site.agent.kill9();
    eventually("the end of the child", || {
        let status = std::fs::read_to_string(child.join("status")).unwrap_or_default();
        // Nobody may have asked yet how it ended.
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    });
}

#[test]
fn very_many_empty_functions() {
    ends(bombs::empty_functions(900_000), &[TIME, MEMORY]);
}

#[test]
fn a_great_many_locals_that_change_in_loops() {
    ends(bombs::locals(10_000), &[TIME, MEMORY]);
}

#[test]
fn loops_within_loops_of_a_small_module_that_take_a_gigabyte() {
    ends(bombs::nested_loops(8_000), &[MEMORY]);
}

#[test]
fn one_giant_function() {
    ends(bombs::one_giant_function(), &[MEMORY, TIME]);
}

#[test]
fn huge_jump_tables() {
    ends(bombs::jump_tables(100), &[TIME, MEMORY]);
}

#[test]
fn very_many_types_and_imports() {
    ends(bombs::types_and_imports(300_000), &[MEMORY, TIME, "exceeds the limit", NOTHING_TO_CALL]);
}

#[test]
fn very_many_globals_with_a_name_each() {
    ends(bombs::globals_and_exports(500_000), &[MEMORY, TIME]);
}

#[test]
fn data_all_over_the_memory_and_a_name_of_megabytes() {
    ends(bombs::data_and_names(90_000), &[MEMORY, TIME]);
}

#[test]
fn functions_of_large_types_that_call_each_other() {
    ends(bombs::adapters(400), &[MEMORY, TIME, "exceeds the limit"]);
}

#[test]
fn a_thousand_instances_and_their_aliases() {
    ends(bombs::instances_and_aliases(100_000), &[MEMORY, TIME, "exceeds the configured maximum"]);
}
