//! The downloads under way, by digest: who needs one that is under way joins it, and one that nobody needs any more ends.
//! Knows nothing of how a download is made.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::partial::Partial;
use super::url::shown;
use super::{FetchError, Room};
use crate::desired::Sha256;

/// Downloads at one time.
const MOST: usize = 4;
/// The same with those that were taken over, but whose threads still wait for a dead peer.
const MOST_LEFT_BEHIND: usize = 2 * MOST;
/// How long a download goes on without anybody: a newer desired state often wants the same.
const LINGER: Duration = Duration::from_secs(5);
/// How long a wait is until whoever waits is asked whether it still does.
const GLANCE: Duration = Duration::from_millis(100);

/// How a download ended, for all who wait.
pub(super) type Outcome = Result<(), Arc<FetchError>>;

/// All downloads under way.
#[derive(Default)]
pub(super) struct Flights {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    flights: BTreeMap<Sha256, Entry>,
    threads: usize,
}

struct Entry {
    flight: Arc<Flight>,
    waiting: usize,
    /// Since when nobody waits.
    alone: Instant,
}

/// One download, shared by its thread and by all who wait for it.
pub(super) struct Flight {
    /// What is fetched, from where, and how large it is said to be.
    pub(super) sha256: Sha256,
    pub(super) url: String,
    pub(super) size: Option<u64>,
    room: Mutex<Room>,
    /// What it writes to; none once another download has taken it over, or when it is whole.
    pub(super) partial: Mutex<Option<Partial>>,
    outcome: OnceLock<Outcome>,
}

/// How a wait began.
pub(super) enum Boarded {
    /// Another's download is waited for.
    Joined(Arc<Flight>),
    /// It is for the caller to carry out, on a thread that holds the place.
    New(Arc<Flight>, Place),
}

impl Flight {
    pub(super) fn partial(&self) -> MutexGuard<'_, Option<Partial>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to ask for room.
    pub(super) fn room(&self) -> Room {
        self.room.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Flights {
    /// Joins the download of a digest, or begins one, whose partial file `open` opens.
    pub(super) fn board(
        self: &Arc<Self>,
        (sha256, url, size): (Sha256, &str, Option<u64>),
        room: &Room,
        open: impl Fn() -> Result<Partial, FetchError>,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Boarded, FetchError> {
        let mut table = self.lock();
        loop {
            let threads = table.threads;
            let partial = match table.flights.get_mut(&sha256) {
                Some(entry) if entry.serves(url, size) => {
                    entry.waiting = entry.waiting.saturating_add(1);
                    if !room.modest {
                        *entry.flight.room.lock().unwrap_or_else(PoisonError::into_inner) = room.clone();
                    }
                    return Ok(Boarded::Joined(entry.flight.clone()));
                }
                Some(entry) if threads < MOST_LEFT_BEHIND => entry.flight.partial().take(),
                None if threads < MOST => Some(open()?),
                _ => None,
            };
            if let Some(partial) = partial {
                let url = url.to_owned();
                let partial = Mutex::new(Some(partial));
                let (room, outcome) = (Mutex::new(room.clone()), OnceLock::new());
                let flight = Arc::new(Flight { sha256, url, size, room, partial, outcome });
                let entry = Entry { flight: flight.clone(), waiting: 1, alone: Instant::now() };
                table.flights.insert(sha256, entry);
                table.threads = threads.saturating_add(1);
                let place = Place { flights: self.clone(), flight: flight.clone(), outcome: None };
                return Ok(Boarded::New(flight, place));
            }
            table = self.wait(table);
            if given_up() {
                return Err(FetchError::Superseded);
            }
        }
    }

    /// Waits for a download's end, or until the caller gives it up.
    pub(super) fn await_end(&self, flight: &Arc<Flight>, given_up: &dyn Fn() -> bool) -> Outcome {
        let mut table = self.lock();
        loop {
            if let Some(outcome) = flight.outcome.get() {
                return outcome.clone();
            }
            table = self.wait(table);
            if flight.outcome.get().is_none() && given_up() {
                if let Some(entry) = table.entry_of(flight) {
                    entry.waiting = entry.waiting.saturating_sub(1);
                    entry.alone = Instant::now();
                }
                return Err(Arc::new(FetchError::Superseded));
            }
        }
    }

    /// Whether a download is to end, since nobody needs it or another has taken it over.
    pub(super) fn is_unneeded(&self, flight: &Arc<Flight>) -> bool {
        let mut table = self.lock();
        table.entry_of(flight).is_none_or(|entry| entry.waiting == 0 && entry.alone.elapsed() >= LINGER)
    }

    /// The digests of all downloads under way.
    pub(super) fn under_way(&self) -> Vec<Sha256> {
        self.lock().flights.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, table: MutexGuard<'a, Table>) -> MutexGuard<'a, Table> {
        self.changed.wait_timeout(table, GLANCE).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Table {
    /// A download's entry, unless another has taken its place.
    fn entry_of(&mut self, flight: &Arc<Flight>) -> Option<&mut Entry> {
        self.flights.get_mut(&flight.sha256).filter(|entry| Arc::ptr_eq(&entry.flight, flight))
    }
}

impl Entry {
    /// Whether the download is one to wait for: the same, one that others wait for as well, or one that is whole and
    /// about to end. Any other is taken over, for it may stand still where the new one would not.
    fn serves(&self, url: &str, size: Option<u64>) -> bool {
        let same = self.flight.url == url && self.flight.size == size;
        same || self.waiting > 0 || self.flight.partial().is_none()
    }
}

/// A thread's place among the downloads. However the thread ends, the place is given back and nobody waits for ever.
pub(super) struct Place {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    outcome: Option<Outcome>,
}

impl Place {
    /// Ends the download for all who wait.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let url = shown(&self.flight.url);
        let unsaid = || Err(Arc::new(FetchError::Refused { url, why: "the download did not run".into() }));
        let outcome = self.outcome.take().unwrap_or_else(unsaid);
        let mut table = self.flights.lock();
        // Together: who is told of the end must not find the download still there.
        self.flight.outcome.get_or_init(|| outcome);
        if table.entry_of(&self.flight).is_some() {
            table.flights.remove(&self.flight.sha256);
        }
        table.threads = table.threads.saturating_sub(1);
        drop(table);
        self.flights.changed.notify_all();
    }
}
