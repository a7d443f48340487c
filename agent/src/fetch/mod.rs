//! Gets the bytes of an artifact from where its URL says, streamed into a file and hashed on the way. Knows nothing of
//! what is in them.
//!
//! ```text
//!  Fetcher ─► flights ─► download ─► partial ─► <sha256>.wasm      one thread per download, named `fetch`
//!             (join)     (resume)    (durable)
//!                           ├─ http ◄─ s3 (signs the URL), oci (manifest, token)
//!                           └─ file
//! ```
//! A download that fails leaves its partial file, and the next try goes on from there, also after a restart. Whatever
//! stands in an artifact's place is whole and has its digest.

mod download;
mod error;
mod file;
mod flights;
mod http;
mod oci;
mod pace;
mod partial;
mod s3;
mod tidy;
mod tls;
mod url;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use ureq::tls::TlsConfig;

use crate::config::Fetch;
use crate::desired::{Sha256, is_absolute};
use crate::thread::STACK;
use download::Download;
pub use error::FetchError;
use flights::{Boarded, Flights};
use partial::Partial;
use tls::Trust;
pub use url::shown;

/// What is to be fetched.
pub struct Wanted<'a> {
    /// The artifact's URL from desired state, absolute or relative to the base.
    pub url: &'a str,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// Where it may lie on the disk.
    pub room: Room,
}

/// Asks for room on the disk.
#[derive(Clone)]
pub struct Room {
    /// Called as soon as the size is known, and again while bytes come, with the bytes that the artifact takes as a whole
    /// or at least; those that came already count. Says why there is no room for them.
    pub ask: Arc<dyn Fn(u64) -> Result<(), String> + Send + Sync>,
    /// Whether another's answer counts, where several wait for one download.
    pub modest: bool,
}

/// What is on the disk already of what is asked for.
struct Have {
    bytes: u64,
    validator: Option<String>,
    /// Bytes of the whole, where they are known.
    total: Option<u64>,
}

/// What a source gives.
struct Given {
    body: Box<dyn Read>,
    /// At which byte it begins: 0, or after all that there was.
    from: u64,
    /// Bytes of the whole, where they are known.
    total: Option<u64>,
    validator: Option<String>,
}

/// Fetches artifacts, each digest once at a time.
pub struct Fetcher {
    settings: Fetch,
    trust: Trust,
    flights: Arc<Flights>,
}

impl Fetcher {
    /// A fetcher that has touched neither network nor disk yet.
    pub fn new(settings: Fetch) -> Self {
        Self { settings, trust: Trust::default(), flights: Arc::default() }
    }

    /// Puts an artifact durably at `target`, whose name is `<sha256>.wasm`. Blocks until it is there, has failed or is
    /// given up; the download runs on a thread of its own, so that one which stands still can be left behind at once. It
    /// goes on for a little while then, and whoever needs the same meanwhile joins it.
    pub fn fetch(
        self: &Arc<Self>,
        wanted: &Wanted<'_>,
        target: &Path,
        given_up: &dyn Fn() -> bool,
    ) -> Result<(), Arc<FetchError>> {
        if wanted.url.starts_with("upload://") {
            return Err(Arc::new(FetchError::Uploaded));
        }
        if let Some(dir) = target.parent() {
            self.tidy_but(dir, Some(wanted.sha256));
        }
        let url = self.absolute(wanted.url);
        let open = || Partial::open(target).map_err(FetchError::Disk);
        loop {
            let asked = (wanted.sha256, url.as_str(), wanted.size);
            let flight = match self.flights.board(asked, &wanted.room, open, given_up)? {
                Boarded::Joined(flight) => flight,
                Boarded::New(flight, place) => {
                    let (fetcher, of_thread) = (self.clone(), flight.clone());
                    let run = move || {
                        let flights = &fetcher.flights;
                        let download = Download { fetcher: &fetcher, flights, flight: &of_thread };
                        place.end(download.run().map_err(Arc::new));
                    };
                    let started = thread::Builder::new().name("fetch".into()).stack_size(STACK).spawn(run);
                    started.map_err(FetchError::Disk)?;
                    flight
                }
            };
            match self.flights.await_end(&flight, given_up) {
                // It ended for want of anybody in the moment in which it was joined.
                Err(error) if matches!(*error, FetchError::Superseded) && !given_up() => {}
                outcome => return outcome,
            }
        }
    }

    /// Removes from a directory what is left of downloads that nobody goes on with: the old, the many and the large.
    pub fn tidy(&self, dir: &Path) {
        self.tidy_but(dir, None);
    }

    /// Whether an artifact's download is under way.
    pub fn is_under_way(&self, sha256: &Sha256) -> bool {
        self.flights.under_way().contains(sha256)
    }

    fn tidy_but(&self, dir: &Path, wanted: Option<Sha256>) {
        let most = self.settings.max_bytes.saturating_mul(2);
        let mut spared = self.flights.under_way();
        spared.extend(wanted);
        if let Err(error) = tidy::tidy(dir, most, &spared) {
            log::warn!("tidying up downloads in {}: {error}", dir.display());
        }
    }

    /// `artifact_max_bytes`: a larger artifact is refused.
    pub fn max_bytes(&self) -> u64 {
        self.settings.max_bytes
    }

    /// TLS that trusts the configured authorities, or else the system's; read on first need.
    pub fn tls(&self) -> Result<TlsConfig, FetchError> {
        self.trust.tls(self.settings.ca_file.as_deref())
    }

    fn absolute(&self, url: &str) -> String {
        if is_absolute(url) {
            url.to_owned()
        } else {
            format!("{}/{}", self.settings.base_url, url.trim_start_matches('/'))
        }
    }

    fn open(
        &self,
        url: &str,
        (sha256, size): (Sha256, Option<u64>),
        have: &Have,
    ) -> Result<Given, FetchError> {
        let client = http::Client { settings: &self.settings, trust: &self.trust };
        match url.split_once("://") {
            Some(("file", path)) => file::open(url, path),
            Some(("s3", _)) => {
                let signed = s3::signed(&self.settings.minio, url)?;
                client.open(&signed, have, None).map_err(|error| s3::explained(error, url))
            }
            Some(("oci", _)) => oci::open(client, url, oci::Expected { sha256, size }, have),
            _ => client.open(url, have, None),
        }
    }
}
