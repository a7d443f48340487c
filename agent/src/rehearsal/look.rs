//! Looks at one function as its preparation would: fetches, verifies, compiles and links it, and starts no instance.
//! Where there is no room for that without removing something, it says so instead.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::Stage;
use crate::desired::{FunctionId, FunctionSpec, Sha256};
use crate::prepare::{PrepareError, Progress, Take};
use crate::status::Phase;

/// Bytes that one dry run downloads.
const MAX_DOWNLOADS: u64 = 64 << 20;
/// What stays free on the disk for all else.
const RESERVE: u64 = 16 << 20;
/// How much larger than its artifact a compiled form is taken to be until it is there.
const COMPILED: u64 = 3;

/// What is known of one function.
pub(super) struct Look {
    /// Bytes to download; none where that is not known.
    pub(super) download: Option<u64>,
    /// Bytes on the disk beyond what was there.
    pub(super) disk: Option<u64>,
    pub(super) seen: Seen,
}

/// What was seen of it.
pub(super) enum Seen {
    /// It is ready to be started.
    Fine,
    /// It would fail.
    Wrong(String),
    /// It could not be looked at.
    Unknown(String),
}

/// Looks at functions, one after the other.
pub(super) struct Looker<'a> {
    stage: &'a Stage<'a>,
    until: Instant,
    /// Bytes to download over all that was looked at, as far as they are known.
    pub(super) download: u64,
    /// Bytes that they take on the disk.
    pub(super) disk: u64,
    /// What was downloaded for it.
    spent: u64,
    /// Digests that are in the sums: several functions may share one.
    counted: BTreeSet<Sha256>,
}

impl<'a> Looker<'a> {
    pub(super) fn new(stage: &'a Stage<'a>, until: Instant) -> Self {
        Self { stage, until, download: 0, disk: 0, spent: 0, counted: BTreeSet::new() }
    }

    /// Looks at a function; none where nobody wants to know any more.
    pub(super) fn look(&mut self, id: &FunctionId, spec: &FunctionSpec) -> Option<Look> {
        let artifacts = &self.stage.preparer.artifacts;
        let (wasm, compiled) = (artifacts.wasm(&spec.sha256), artifacts.compiled(&spec.sha256));
        let (was_here, was_compiled) = (bytes(&wasm).is_some(), bytes(&compiled).is_some());
        // What stays of a download that failed counts as well.
        let partial = wasm.with_added_extension("partial");
        let was_begun = bytes(&partial).unwrap_or(0);
        let seen = match (self.too_large(spec), self.no_room(spec, bytes(&wasm), was_compiled)) {
            (Some(why), _) if !was_here => Seen::Wrong(why),
            (_, Some(why)) => Seen::Unknown(why),
            _ => self.prepare(id, spec)?,
        };
        let size = bytes(&wasm).or(spec.size);
        let fetched = if was_here { Some(0) } else { size };
        if !was_here {
            let came = bytes(&wasm).or(bytes(&partial)).unwrap_or(0).saturating_sub(was_begun);
            self.spent = self.spent.saturating_add(came);
        }
        let estimate = size.map(|size| size.saturating_mul(COMPILED));
        let made = if was_compiled { Some(0) } else { bytes(&compiled).or(estimate) };
        let disk = fetched.zip(made).map(|(fetched, made)| fetched.saturating_add(made));
        if self.counted.insert(spec.sha256) {
            self.download = self.download.saturating_add(fetched.unwrap_or(0));
            self.disk = self.disk.saturating_add(disk.unwrap_or(0));
        }
        Some(Look { download: fetched, disk, seen })
    }

    /// Why a function would be refused by what is said of it alone.
    fn too_large(&self, spec: &FunctionSpec) -> Option<String> {
        let most = self.stage.preparer.fetcher.max_bytes();
        let size = spec.size.filter(|size| *size > most)?;
        let phase = Phase::Fetching.as_str();
        Some(format!("{phase}: {size} bytes are more than {most}, the limit of artifact_max_bytes"))
    }

    /// Why there is no room to look at a function.
    fn no_room(&self, spec: &FunctionSpec, here: Option<u64>, compiled: bool) -> Option<String> {
        if Instant::now() >= self.until {
            return Some("the dry run took too long before it came to this".into());
        }
        let preparer = self.stage.preparer;
        let download = match here {
            Some(_) => 0,
            // Nobody knows before it is there, but it is not larger than that.
            None => spec.size.unwrap_or(MAX_DOWNLOADS).min(preparer.fetcher.max_bytes()),
        };
        let left = MAX_DOWNLOADS.saturating_sub(self.spent);
        if download > left {
            let known = if spec.size.is_some() { "" } else { " (`size` is not given)" };
            return Some(format!(
                "it may be {download} bytes{known}, and a dry run downloads no more than {left} bytes further"
            ));
        }
        let known = here.or(spec.size);
        let compiles = if compiled { 0 } else { known.unwrap_or(0).saturating_mul(COMPILED) };
        let needed = download.saturating_add(compiles);
        let free = preparer.store.free_bytes().map_or(0, |free| free.saturating_sub(RESERVE));
        let cache =
            preparer.artifacts.bytes().map_or(0, |taken| self.stage.cache_bytes.saturating_sub(taken));
        let room = free.min(cache);
        (needed > room).then(|| {
            format!("it may need {needed} bytes of disk, and {room} are to be had without removing anything")
        })
    }

    fn prepare(&self, id: &FunctionId, spec: &FunctionSpec) -> Option<Seen> {
        let given_up = || (self.stage.given_up)() || Instant::now() >= self.until;
        let phase = |phase: Phase| (self.stage.at)(id, phase);
        let preparer = self.stage.preparer;
        let short = Cell::new(false);
        let take = Take::Free { download: MAX_DOWNLOADS.saturating_sub(self.spent), short: &short };
        match preparer.component(spec, &Progress { phase: &phase, superseded: &given_up }, take) {
            Ok(component) => Some(match preparer.runtime.link(&component, spec.entrypoint) {
                Ok(_) => Seen::Fine,
                Err(error) => Seen::Wrong(format!("{}: {error}", Phase::Starting.as_str())),
            }),
            Err(PrepareError::Failed { why, .. }) if short.get() => Some(Seen::Unknown(why)),
            Err(PrepareError::Failed { phase, why, .. }) => {
                Some(Seen::Wrong(format!("{}: {why}", phase.as_str())))
            }
            Err(PrepareError::Superseded) if (self.stage.given_up)() => None,
            Err(PrepareError::Superseded) => {
                Some(Seen::Unknown("it took longer than a dry run may take".into()))
            }
        }
    }
}

fn bytes(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}
