//! `twinlet new`: a project of its own for one function, ready to build.

mod template;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use self::template::{FILES, File};
use super::output::{Output, note};
use crate::desired::FunctionId;

const AFTER: &str = "\
The project needs Rust (rustup fetches the rest), and nothing of twinlet but its command line.

Examples:
  twinlet new hello
  cd hello && ./build && twinlet deploy hello.wasm --route /hello
  twinlet new hello --dir ~/functions/hello

Exit codes: 0 made, 1 not made, and nothing left behind, 2 the command line is wrong.";

pub(super) fn command() -> Command {
    Command::new("new")
        .about("Make a project for a function of your own")
        .args([
            Arg::new("name")
                .value_name("NAME")
                .required(true)
                .help("The function's id: lower-case letters, digits, - and _"),
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .value_parser(ValueParser::path_buf())
                .help("Where to make it, a directory that is not there yet; NAME by default"),
        ])
        .after_help(AFTER)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    let id: FunctionId = match name.parse() {
        Ok(id) => id,
        Err(error) => {
            note(&format!("twinlet new: {error}"));
            return Ok(ExitCode::from(2));
        }
    };
    let dir = matches.get_one::<PathBuf>("dir").cloned().unwrap_or_else(|| PathBuf::from(name));
    make(&id, &dir)?;
    let output = Output::of(matches);
    let dir = dir.display();
    output.text(&format!("{dir}: a project for the function {id}. What comes next:"))?;
    output.text(&format!("  cd {dir} && ./build && twinlet deploy {id}.wasm --route /{id}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the project beside its place, under another name, and moves it there once it is whole.
fn make(id: &FunctionId, dir: &Path) -> anyhow::Result<()> {
    let place = || dir.display().to_string();
    // `symlink_metadata`, for a link that leads nowhere is in the way as well.
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(place),
        Ok(_) => bail!("{} is there already; choose another --dir", place()),
    }
    let unfinished = dir.with_added_extension(format!("{:08x}.part", fastrand::u32(..)));
    let made = write(id, &unfinished).and_then(|()| fs::rename(&unfinished, dir));
    if made.is_err()
        && let Err(error) = fs::remove_dir_all(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        note(&format!("twinlet new: {} could not be removed: {error}", unfinished.display()));
    }
    made.with_context(place)
}

fn write(id: &FunctionId, dir: &Path) -> io::Result<()> {
    DirBuilder::new().create(dir)?;
    for File { path, text, mode } in FILES {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).create(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(*mode).open(&path)?;
        file.write_all(template::filled(text, id).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_project_is_made_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let id: FunctionId = "my_fn-1".parse().unwrap();
        let place = dir.path().join("my_fn-1");
        make(&id, &place).unwrap();
        let read = |path: &str| fs::read_to_string(place.join(path)).unwrap();
        assert!(read("Cargo.toml").contains("name = \"my_fn-1\""));
        assert!(read("build").contains(" my_fn-1.wasm"));
        assert_eq!(fs::metadata(place.join("build")).unwrap().permissions().mode() & 0o100, 0o100);
        assert!(make(&id, &place).unwrap_err().to_string().contains("is there already"));
        assert!(make(&id, &dir.path().join("no/such/place")).is_err());
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing half-made stays: {left:?}");
    }
}
