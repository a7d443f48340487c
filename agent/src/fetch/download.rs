//! One download: goes on where an earlier try ended, hashes what comes, and judges it by its digest. Knows nothing of
//! who waits for it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Instant;

use super::flights::{Flight, Flights};
use super::pace::Pace;
use super::partial::{Origin, Partial};
use super::url::shown;
use super::{FetchError, Fetcher, Given, Have};
use crate::desired::Sha256;

const CHUNK_BYTES: usize = 32 << 10;
/// Bytes after which room for more is asked for: others write to the disk meanwhile.
const ROOM_BYTES: u64 = 1 << 20;

/// A download and what it takes to make it.
pub(super) struct Download<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) flights: &'a Flights,
    pub(super) flight: &'a Arc<Flight>,
}

/// What a try came to that ran to its end.
enum Came {
    /// The artifact.
    Whole,
    /// Something else, after bytes of an earlier try.
    Misfit(FetchError),
}

impl Download<'_> {
    /// Downloads, and puts what came into its place. What came of a try that failed is kept for the next where that can
    /// go on with it.
    pub(super) fn run(&self) -> Result<(), FetchError> {
        let result = self.tries();
        let Some(partial) = self.flight.partial().take() else {
            return Err(FetchError::Superseded);
        };
        let ended = match &result {
            Ok(()) => return partial.finish().map_err(FetchError::Disk),
            // A full disk needs its room more than the next try its beginning; what can not be written can not be trusted.
            Err(FetchError::Disk(_) | FetchError::TooLarge { .. }) => partial.discard(),
            // What a sign-in page or another file says of its size says nothing of what was there before.
            Err(error) if error.is_wrong_artifact() && partial.grew() => partial.discard(),
            Err(_) => partial.keep(),
        };
        if let Err(error) = ended {
            log::warn!("artifact {}: what came of its download: {error}", self.flight.sha256);
        }
        result
    }

    /// A try, and one from the beginning where the first went on with what was there and came to something else.
    fn tries(&self) -> Result<(), FetchError> {
        self.with(Partial::rehash)?;
        loop {
            match self.one()? {
                Came::Whole => return Ok(()),
                Came::Misfit(error) => {
                    log::warn!(
                        "{}: {error}; it is fetched once more from its beginning",
                        shown(&self.flight.url)
                    );
                    self.with(Partial::restart)?;
                }
            }
        }
    }

    fn one(&self) -> Result<Came, FetchError> {
        let url = shown(&self.flight.url);
        let have = self.have(&url)?;
        if have.bytes > 0 && self.judge().is_ok() {
            log::info!("{url}: all {} bytes were there already", have.bytes);
            return Ok(Came::Whole);
        }
        let given = self.fetcher.open(&self.flight.url, self.expected(), &have)?;
        self.check_total(given.total)?;
        let (from, total) = (given.from, given.total);
        self.ask_for_room(from, total)?;
        if from > 0 {
            log::info!("{url}: goes on after {from} bytes");
        }
        let origin = Origin { url, validator: given.validator.clone(), total };
        self.with(|partial| {
            if partial.len() != from {
                partial.restart()?;
            }
            partial.note(origin)
        })?;
        self.stream(given)?;
        match self.judge() {
            Ok(()) => Ok(Came::Whole),
            Err(error) if from > 0 => Ok(Came::Misfit(error)),
            Err(error) => Err(error),
        }
    }

    /// What is there, and what is known of where it is from. What can not be a beginning is thrown away.
    fn have(&self, url: &str) -> Result<Have, FetchError> {
        let limit = self.limit();
        self.with(|partial| {
            // A whole file of the right digest is found before this is asked of the server.
            if partial.len() > limit || (partial.len() == limit && partial.digest() != self.flight.sha256) {
                partial.restart()?;
            }
            let known = partial.origin();
            // Another URL may have another validator for the same bytes; the digest judges them in the end.
            let validator = known.validator.clone().filter(|_| known.url == url);
            Ok(Have { bytes: partial.len(), validator, total: known.total.or(self.flight.size) })
        })
    }

    fn stream(&self, mut given: Given) -> Result<(), FetchError> {
        let settings = &self.fetcher.settings;
        let mut pace = Pace::new(settings.min_rate_bytes, settings.min_rate_window, Instant::now());
        let mut chunk = vec![0; CHUNK_BYTES];
        let (mut received, mut asked) = (given.from, given.from);
        let url = || shown(&self.flight.url);
        loop {
            if self.flights.is_unneeded(self.flight) {
                return Err(FetchError::Superseded);
            }
            let n = match given.body.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(source) if source.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(FetchError::Read { url: url(), received, source }),
            };
            received = received.saturating_add(n as u64);
            self.check_total(Some(received).filter(|received| *received > self.limit()))?;
            if received.saturating_sub(asked) >= ROOM_BYTES {
                self.ask_for_room(received, given.total)?;
                asked = received;
            }
            self.with(|partial| partial.append(chunk.get(..n).unwrap_or_default()))?;
            if !pace.keeps_up(n as u64, Instant::now()) {
                let secs = settings.min_rate_window.as_secs();
                return Err(FetchError::Slow { url: url(), received, bytes: pace.least, secs });
            }
        }
        match given.total {
            Some(total) if received < total => {
                let source = io::Error::new(ErrorKind::UnexpectedEof, format!("{total} were promised"));
                Err(FetchError::Read { url: url(), received, source })
            }
            _ => Ok(()),
        }
    }

    /// Asks for room for the whole, or for what comes next where the size is not known.
    fn ask_for_room(&self, received: u64, total: Option<u64>) -> Result<(), FetchError> {
        let next = received.saturating_add(ROOM_BYTES).min(self.limit());
        // The room is not asked under any lock: it may look for what is under way.
        (self.flight.room().ask)(total.or(self.flight.size).unwrap_or(next)).map_err(FetchError::NoRoom)
    }

    /// Whether the whole may have so many bytes.
    fn check_total(&self, total: Option<u64>) -> Result<(), FetchError> {
        let Some(received) = total else { return Ok(()) };
        let limit = self.fetcher.settings.max_bytes;
        match self.flight.size {
            Some(expected) if expected <= limit && received != expected => {
                Err(FetchError::Size { expected, received })
            }
            _ if received > limit => Err(FetchError::TooLarge { limit }),
            _ => Ok(()),
        }
    }

    /// Whether what is there is what is wanted.
    fn judge(&self) -> Result<(), FetchError> {
        let wanted = self.flight.sha256;
        let (received, found) = self.with(|partial| Ok((partial.len(), partial.digest())))?;
        self.check_total(Some(received))?;
        if found == wanted { Ok(()) } else { Err(FetchError::Digest { wanted, found }) }
    }

    fn limit(&self) -> u64 {
        self.flight.size.unwrap_or(u64::MAX).min(self.fetcher.settings.max_bytes)
    }

    fn expected(&self) -> (Sha256, Option<u64>) {
        (self.flight.sha256, self.flight.size)
    }

    /// Does something with the partial file, unless another download has taken it over.
    fn with<T>(&self, act: impl FnOnce(&mut Partial) -> io::Result<T>) -> Result<T, FetchError> {
        let mut partial = self.flight.partial();
        let partial = partial.as_mut().ok_or(FetchError::Superseded)?;
        act(partial).map_err(FetchError::Disk)
    }
}
