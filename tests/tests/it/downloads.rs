//! Downloads: what came is never fetched twice, and nothing but the right bytes ever stands in an artifact's place. Most
//! of these drive the agent's own fetcher over real sockets; [`agents`] has whole agents.

mod agents;
mod resumed;
mod shared;
mod sources;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use twinlet::config::{Config, Layers};
use twinlet::fetch::{Fetcher, Room, Wanted};
use twinlet_tests::{Artifact, guests};

/// A fetcher with a directory of its own.
pub(crate) struct Device {
    fetcher: Arc<Fetcher>,
    dir: TempDir,
    room: Room,
}

impl Device {
    /// With these settings beside the defaults.
    fn with(settings: &[(&'static str, &str)]) -> Self {
        let flags = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let config = Config::resolve(Layers { flags, ..Layers::default() }).unwrap();
        let room = Room { ask: Arc::new(|_| Ok(())), modest: false };
        Self { fetcher: Arc::new(Fetcher::new(config.fetch)), dir: tempfile::tempdir().unwrap(), room }
    }

    fn new() -> Self {
        Self::with(&[])
    }

    /// As after a restart: nothing is known but what is on the disk.
    fn restarted(self) -> Self {
        Self { fetcher: Self::new().fetcher, ..self }
    }

    fn target(&self, artifact: &Artifact) -> PathBuf {
        self.dir.path().join(format!("{}.wasm", artifact.sha256))
    }

    fn partial(&self, artifact: &Artifact) -> PathBuf {
        self.target(artifact).with_added_extension("partial")
    }

    /// Fetches, for as long as `given_up` says no.
    fn try_fetch(&self, artifact: &Artifact, given_up: &dyn Fn() -> bool) -> Result<(), String> {
        let sha256 = artifact.sha256.parse().unwrap();
        let size = Some(artifact.size as u64).filter(|size| *size > 0);
        let wanted = Wanted { url: &artifact.url, sha256, size, room: self.room.clone() };
        let fetched = self.fetcher.fetch(&wanted, &self.target(artifact), given_up);
        fetched.map_err(|error| error.to_string())
    }

    fn fetch(&self, artifact: &Artifact) -> Result<(), String> {
        self.try_fetch(artifact, &|| false)
    }

    /// Fetches, and looks at what is in place then.
    fn gets(&self, artifact: &Artifact, bytes: &[u8]) {
        self.fetch(artifact).unwrap();
        assert!(fs::read(self.target(artifact)).unwrap() == bytes, "other bytes are in place");
        let left = fs::read_dir(self.dir.path()).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside the artifact");
    }

    /// A fetch that must fail, and leaves nothing in the artifact's place.
    fn fails(&self, artifact: &Artifact, says: &str) -> String {
        let error = self.fetch(artifact).unwrap_err();
        assert!(error.contains(says), "`{says}` is not in: {error}");
        assert!(!self.target(artifact).exists(), "something stands in the artifact's place");
        error
    }
}

/// Bytes without a pattern, as good as a component for a fetcher.
fn bytes() -> Vec<u8> {
    guests::noise(100_000)
}
