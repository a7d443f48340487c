//! The desired state on the disk, and what of it this configuration refuses. It is read from a copy of the database:
//! opening one changes it.

use std::fs;
use std::io;
use std::path::Path;

use super::Given;
use super::finding::Finding;
use crate::agent::{defaults, trust};
use crate::cli::scratch::Scratch;
use crate::desired::{Defaults, Desired};
use crate::state_dir;
use crate::store::Store;

const NAME: &str = "desired state";
/// Bytes of the largest database that is copied.
const MOST: u64 = 64 << 20;

pub(super) fn check(given: &Given) -> Vec<Finding> {
    if given.running {
        return vec![Finding::skipped(NAME, "an agent runs, and knows best: twinlet status, twinlet why")];
    }
    let db = given.config.cache_dir.join("db");
    match fs::metadata(&db) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::ok(NAME, "none yet; the node waits for the hub's word")];
        }
        Err(error) => return vec![Finding::skipped(NAME, format!("{}: {error}", db.display()))],
        Ok(_) => {}
    }
    let copied = Scratch::new().and_then(|scratch| {
        let whole = copy(&db, &scratch.path().join("db"))?;
        Store::take_copy_along(&given.config.cache_dir, scratch.path())?;
        Ok((scratch, whole))
    });
    match copied {
        Err(error) => {
            vec![Finding::skipped(NAME, format!("the database can not be copied to look at it: {error}"))]
        }
        Ok((_, false)) => {
            vec![Finding::skipped(NAME, format!("the database has more than {} MB", MOST >> 20))]
        }
        // Began meanwhile, and has written to what was being copied.
        Ok(_) if state_dir::in_use(&given.config.cache_dir).unwrap_or(false) => {
            vec![Finding::skipped(NAME, "an agent has just started")]
        }
        Ok((scratch, true)) => read(given, scratch.path()),
    }
}

/// Copies a directory of files. False where they are too large.
fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    let mut bytes = 0;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            if !copy(&entry.path(), &target)? {
                return Ok(false);
            }
        } else if kind.is_file() {
            bytes += entry.metadata()?.len();
            if bytes > MOST {
                return Ok(false);
            }
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(true)
}

fn read(given: &Given, copy: &Path) -> Vec<Finding> {
    let store = match Store::open(copy) {
        Ok((store, None)) => store,
        Ok((_, Some(_))) => {
            let text = "the database is damaged; the agent would set it aside, and go on with what can be saved of it";
            return vec![Finding::wrong(NAME, text)];
        }
        Err(error) => return vec![Finding::wrong(NAME, format!("the database can not be opened: {error}"))],
    };
    let accepted = match store.accepted() {
        Ok(Some(accepted)) => accepted,
        Ok(None) => return vec![Finding::ok(NAME, "none yet; the node waits for the hub's word")],
        Err(error) => {
            return vec![Finding::wrong(
                NAME,
                format!("{error}; the node would wait for the hub to say it again"),
            )];
        }
    };
    // That its file is wrong is told by the check of the files.
    let trust = trust(&given.config).unwrap_or_default();
    match accepted.desired(&Defaults { trust, ..defaults(&given.config) }) {
        Ok(desired) => told(given, &desired),
        Err(problems) => {
            let why = "this configuration refuses what is stored, and would serve nothing of it";
            vec![Finding::wrong(NAME, format!("{why}: {problems}"))]
        }
    }
}

fn told(given: &Given, desired: &Desired) -> Vec<Finding> {
    let artifacts = given.config.cache_dir.join("artifacts");
    let missing = |sha256: &dyn std::fmt::Display| !artifacts.join(format!("{sha256}.wasm")).exists();
    let absent = desired.functions.values().filter(|spec| missing(&spec.sha256)).count();
    let (version, functions, routes) = (desired.version, desired.functions.len(), desired.routes.len());
    let mut found =
        vec![Finding::ok(NAME, format!("version {version}, {functions} functions, {routes} routes"))];
    if absent > 0 {
        let text =
            format!("{absent} of the functions' artifacts are not on the device, and have to be fetched");
        found.push(Finding::warning(NAME, text));
    }
    let refused = desired.misfits.iter();
    found.extend(refused.map(|(id, why)| Finding::wrong(NAME, format!("{id} would be refused: {why}"))));
    for (id, route) in &desired.routes {
        if !desired.functions.contains_key(&route.function_id) {
            let text = format!("route {id} leads to {}, which is not there: it gets 404", route.function_id);
            found.push(Finding::warning(NAME, text));
        }
    }
    found
}
