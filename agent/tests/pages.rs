//! The shell completions and man pages under `systemd/`: made from the command line itself, and held to it.
//!
//! `TWINLET_WRITE_PAGES=1 cargo test -p twinlet --test pages` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate_to};

/// What writes instead of comparing.
const WRITE: &str = "TWINLET_WRITE_PAGES";
/// Where they are, below `systemd/`: the folder for each.
const FOLDERS: [&str; 2] = ["completions", "man"];

#[test]
fn completions_and_man_pages_are_what_the_command_line_says() {
    let systemd = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let made = tempfile::tempdir().unwrap();
    make(made.path());
    for folder in FOLDERS {
        let (wanted, place) = (files(&made.path().join(folder)), systemd.join(folder));
        if std::env::var_os(WRITE).is_some() {
            write(&place, &wanted);
        }
        let there = files(&place);
        let differ = wanted.keys().chain(there.keys()).filter(|name| wanted.get(*name) != there.get(*name));
        let differ: Vec<_> = differ.collect();
        assert!(
            differ.is_empty(),
            "systemd/{folder} is out of date: {differ:?}; {WRITE}=1 cargo test -p twinlet --test pages"
        );
    }
}

fn make(to: &Path) {
    let [completions, man] = FOLDERS.map(|folder| to.join(folder));
    fs::create_dir(&completions).unwrap();
    fs::create_dir(&man).unwrap();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut twinlet::cli::command(), "twinlet", &completions).unwrap();
    }
    clap_mangen::generate_to(twinlet::cli::command(), &man).unwrap();
}

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let read = |path: PathBuf| (path.file_name().unwrap().into(), fs::read_to_string(&path).unwrap());
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

fn write(folder: &Path, files: &BTreeMap<PathBuf, String>) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
    fs::create_dir_all(folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}
