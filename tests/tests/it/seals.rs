//! Compiled files that were changed behind the agent's back: whichever byte it is, the artifact is compiled again, and
//! what was changed is never loaded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use twinlet_tests::{AgentBuilder, Desired, Site, guests};

use crate::agent;

const FUNCTIONS: usize = 16;
/// Flips of each file: 208 in all.
const ROUNDS: usize = 13;
/// The first bytes of a file, which the engine reads first, and the seal at its end.
const HEADER: usize = 64;
const SEAL: usize = 72;

fn compiled(state: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(state.join("artifacts")).unwrap().map(|file| file.unwrap().path());
    let mut compiled: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "cwasm")).collect();
    compiled.sort();
    compiled
}

/// Where the `n`th flip is in a file of so many bytes: all of the header, all of the seal, then all over the rest.
fn position(n: usize, length: usize) -> usize {
    match n {
        n if n < HEADER => n,
        n if n < HEADER + SEAL => length - 1 - (n - HEADER),
        n => {
            let rest = FUNCTIONS * ROUNDS - HEADER - SEAL;
            HEADER + (length - HEADER - SEAL) * (n - HEADER - SEAL) / rest
        }
    }
}

/// A site that serves this many functions, each of another text.
fn serving(functions: usize) -> Site {
    let site = Site::start(agent());
    let function = |n: usize| site.function(&format!("fn{n}"), guests::answers(&format!("text {n}")));
    site.apply(1, |desired| (0..functions).map(function).fold(desired, Desired::serving));
    site
}

/// Stops the agent, does something to the files, and starts it again.
fn meanwhile(mut site: Site, change: impl FnOnce(&[PathBuf])) -> Site {
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(twinlet_tests::DEADLINE), 0);
    change(&compiled(site.agent.state_dir()));
    site.agent = site.agent.again(|builder| builder);
    site
}

fn answer_all(site: &Site, functions: usize) {
    for n in 0..functions {
        site.agent.says(&format!("/fn{n}"), &format!("text {n}"));
    }
}

fn lines_with(site: &Site, words: &str) -> usize {
    site.agent.log_since(0).iter().filter(|line| line.contains(words)).count()
}

#[test]
fn any_flipped_byte_means_compiled_again_and_never_loaded() {
    let mut site = serving(FUNCTIONS);
    for round in 0..ROUNDS {
        let mut flipped = Vec::new();
        site = meanwhile(site, |files| {
            assert_eq!(files.len(), FUNCTIONS);
            for (n, file) in files.iter().enumerate() {
                let mut bytes = fs::read(file).unwrap();
                let at = position(round * FUNCTIONS + n, bytes.len());
                bytes[at] ^= 1 << (n % 8);
                fs::write(file, &bytes).unwrap();
                flipped.push((file.clone(), bytes));
            }
        });
        answer_all(&site, FUNCTIONS);
        assert_eq!(
            lines_with(&site, "its compiled form has changed; compiling it again"),
            FUNCTIONS,
            "{round}"
        );
        for (file, bytes) in flipped {
            assert_ne!(fs::read(&file).unwrap(), bytes, "round {round}: {} is as it was", file.display());
        }
    }
    // What was compiled last holds, and is loaded as it is.
    site = meanwhile(site, |_| ());
    answer_all(&site, FUNCTIONS);
    assert_eq!(lines_with(&site, "compiling it again"), 0);
}

#[test]
fn a_compiled_file_of_another_artifact_or_length_is_not_loaded() {
    let site = meanwhile(serving(4), |files| {
        let contents: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        // Whole and sealed, but in each other's place.
        fs::write(&files[0], &contents[1]).unwrap();
        fs::write(&files[1], &contents[0]).unwrap();
        fs::write(&files[2], &contents[2][..contents[2].len() / 2]).unwrap();
        fs::write(&files[3], b"").unwrap();
    });
    answer_all(&site, 4);
    assert_eq!(lines_with(&site, "its compiled form has changed; compiling it again"), 4);
}

#[test]
fn a_lost_database_costs_no_compilation_and_a_lost_key_each_of_them() {
    let site = meanwhile(serving(2), |files| {
        let state = files[0].parent().unwrap().parent().unwrap();
        for file in files {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_dir_all(state.join("db")).unwrap();
    });
    // The desired state is gone with the database; the hub's is retained.
    answer_all(&site, 2);
    assert_eq!(lines_with(&site, "compiling"), 0);
    let site = meanwhile(site, |files| {
        let state = files[0].parent().unwrap().parent().unwrap();
        fs::remove_file(state.join("device.key")).unwrap();
    });
    answer_all(&site, 2);
    assert_eq!(lines_with(&site, "its compiled form has changed; compiling it again"), 2);
}

#[test]
fn an_upgrade_in_the_agent_s_place_does_not_compile_for_the_one_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("twinlet");
    fs::copy(env!("CARGO_BIN_EXE_twinlet-agent"), &program).unwrap();
    let site = Site::start(AgentBuilder::new(&program)).serving("fn", guests::answers("before"));
    // As a package manager puts another version there, whose compiled form would be of no use.
    let next = dir.path().join("next");
    fs::write(&next, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&next, &program).unwrap();
    site.apply(2, |desired| desired.serving(site.function("fn", guests::answers("after"))));
    site.agent.says("/fn", "after");
}
