//! The accepted desired state, twice: in sled, and in a file beside it, so that the node has it as long as one of the
//! two is whole. sled has it first; the file follows, and is written again where that failed. A count of the changes is
//! stored with it, which tells the newer of the two: deployments and changes by the API leave `$version` as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Store, StoreError};
use crate::desired::Accepted;
use crate::metrics::disk::Purpose;
use crate::state_dir::{aside, write_durably_for};

const ACCEPTED: &str = "accepted";
/// The file beside the database: a line with a digest, then JSON.
const COPY: &str = "desired.copy";
const HEAD: &str = "twinlet desired state 1 ";
/// The count's name beside the members of the desired state.
const CHANGES: &str = "changes";

impl Store {
    /// The desired state that was accepted last, if any was.
    pub fn accepted(&self) -> Result<Option<Accepted>, StoreError> {
        let damaged = || StoreError::Damaged(ACCEPTED.into());
        let read = |bytes: &[u8]| serde_json::from_slice::<Accepted>(bytes).map_err(|_| damaged());
        let kept =
            self.read(ACCEPTED).and_then(|bytes| bytes.map(|bytes| Ok((read(&bytes)?, bytes))).transpose());
        let copy = read_copy(&self.copy()).and_then(|bytes| Some((read(&bytes).ok()?, bytes)));
        match (kept, copy) {
            (Ok(Some((kept, bytes))), Some((copy, in_copy)))
                if (changes(&in_copy), copy.version()) > (changes(&bytes), kept.version()) =>
            {
                log::error!("the database has gone back in time: the desired state is taken from {COPY}");
                log::debug!("{} bytes there, {} here", in_copy.len(), bytes.len());
                self.restore(&in_copy);
                Ok(Some(copy))
            }
            (Ok(Some((kept, bytes))), copy) => {
                if copy.is_none_or(|(_, in_copy)| in_copy != bytes) {
                    self.keep_copy(&bytes);
                }
                Ok(Some(kept))
            }
            (kept, Some((copy, in_copy))) => {
                let why = kept.err().map_or("it is not in the database".into(), |error| error.to_string());
                log::error!("the desired state is taken from {COPY}: {why}");
                self.restore(&in_copy);
                Ok(Some(copy))
            }
            (kept, None) => {
                let before = self.base.witness.at_start.accepted;
                if before > 0 && matches!(kept, Ok(None)) {
                    log::error!("the desired state version {before}, which was accepted, is lost");
                    self.damaged.fetch_add(1, Relaxed);
                }
                kept.map(|none| none.map(|(kept, _)| kept))
            }
        }
    }

    /// Keeps a desired state; when this returns it is on the disk.
    pub fn keep_accepted(&self, accepted: &Accepted) -> Result<(), StoreError> {
        let mut value = serde_json::to_value(accepted).map_err(io::Error::from)?;
        if let Some(members) = value.as_object_mut() {
            members.insert(CHANGES.into(), self.last_change()?.saturating_add(1).into());
        }
        let bytes = serde_json::to_vec(&value).map_err(io::Error::from)?;
        self.write(ACCEPTED, &bytes)?;
        self.base.witness.accepted(accepted.version());
        self.keep_copy(&bytes);
        Ok(())
    }

    /// The highest count of changes that either of the two says.
    fn last_change(&self) -> Result<u64, StoreError> {
        let kept = match self.read(ACCEPTED) {
            Err(StoreError::Damaged(_) | StoreError::Format(..)) => None,
            kept => kept?,
        };
        let both = [kept, read_copy(&self.copy())];
        Ok(both.iter().flatten().map(|bytes| changes(bytes)).max().unwrap_or_default())
    }

    /// Copies the copy, where there is one, for whoever looks at a database elsewhere.
    pub fn take_copy_along(from: &Path, to: &Path) -> io::Result<()> {
        match fs::copy(from.join(COPY), to.join(COPY)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts what the copy says back into the database.
    fn restore(&self, bytes: &[u8]) {
        if let Err(error) = self.write(ACCEPTED, bytes) {
            log::error!("keeping the desired state in the database: {error}");
        }
    }

    fn keep_copy(&self, bytes: &[u8]) {
        let mut text = format!("{HEAD}{:x}\n", Sha256::digest(bytes)).into_bytes();
        text.extend_from_slice(bytes);
        let kept = aside::file(&self.copy(), &self.state)
            .and_then(|()| write_durably_for(Purpose::Desired, &self.copy(), &text));
        self.copy_is_old.store(kept.is_err(), Relaxed);
        if let Err(error) = kept {
            log::warn!("{}: {error}; it is written later", self.copy().display());
        }
    }

    fn copy(&self) -> PathBuf {
        self.state.join(COPY)
    }
}

/// Writes the copy again, if it is older than what the database has.
pub(super) fn mend_copy(store: &Store) -> Result<(), StoreError> {
    if store.copy_is_old.load(Relaxed)
        && let Some(bytes) = store.read(ACCEPTED)?
    {
        store.keep_copy(&bytes);
        if store.copy_is_old.load(Relaxed) {
            return Err(io::Error::other("the copy of the desired state can not be written").into());
        }
    }
    Ok(())
}

/// The count of changes that is stored with a desired state; versions of the agent from before there was one say none.
fn changes(bytes: &[u8]) -> u64 {
    #[derive(Default, Deserialize)]
    struct Count {
        #[serde(default)]
        changes: u64,
    }
    serde_json::from_slice::<Count>(bytes).unwrap_or_default().changes
}

/// What a copy holds, if it is one.
fn read_copy(path: &Path) -> Option<Vec<u8>> {
    let text = fs::read(path).ok()?;
    let bytes = text.strip_prefix(HEAD.as_bytes()).and_then(|rest| {
        let (digest, rest) = rest.split_at_checked(64)?;
        let bytes = rest.strip_prefix(b"\n")?;
        (format!("{:x}", Sha256::digest(bytes)).as_bytes() == digest).then(|| bytes.to_vec())
    });
    if bytes.is_none() {
        log::error!("{} is damaged; it is made anew from the database", path.display());
    }
    bytes
}
