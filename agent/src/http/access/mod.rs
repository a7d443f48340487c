//! Who may do what at the public door: API keys and signed requests. It decides by a request's head, before a byte of
//! its body is read; a signed one is then held against its body, and is good for once.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | [`Access`]: decides, counts and logs refusals |
//! | `rules` | what the file of keys says: which paths are open, and what a key opens |
//! | `signature` | a signed request: what is signed, and how it is verified |
//! | `nonces` | which signatures were used already, over restarts |
//!
//! Whoever is refused gets the same answer, whatever the reason; the reason is logged under the request's id.

mod nonces;
mod rules;
mod signature;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use twinlet_host::bucket::Bucket;
use twinlet_host::wall;

use super::answer::Failure;
use super::{Body, Incoming};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use nonces::{Nonces, NotTaken};
use rules::Admission;
pub use rules::{KeysFileError, Rules};
use signature::Signed;

/// Refusals that are logged at once, and then a second.
const COMPLAINTS: (u32, u32) = (10, 1);
/// The table of nonces.
const NONCES: &str = "nonces";
/// What [`now`] says where the clock is not set. No signature is near it.
const NOT_SET: u64 = 0;

/// The rules of the public door.
pub struct Access {
    /// None: routes are open, and the management API is not there.
    rules: ArcSwapOption<Rules>,
    nonces: Nonces,
    metrics: Arc<Metrics>,
    complaints: Mutex<Bucket>,
}

/// Why a request was refused. The client does not learn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Neither a key nor a signature.
    NoKey,
    /// More keys or signatures than one.
    Ambiguous,
    /// A key that no entry has.
    WrongKey,
    /// A key or signature that is good, but not for this path.
    NotOpened,
    /// Headers of a signature that are missing, doubled or not of their form.
    Malformed,
    /// A signature that does not hold, or of no entry that signs.
    BadSignature,
    /// Signed too long ago or for a time to come, by this node's clock.
    Window(u64),
    /// Signed with a nonce that was used before.
    Replay,
    /// The body is not the one that was signed for.
    Body,
}

impl Access {
    /// The door's rules; none where no file of keys is set. Nonces are kept in the store.
    pub fn new(rules: Option<Rules>, store: &Arc<Store>, metrics: Arc<Metrics>) -> Self {
        let complaints = Mutex::new(Bucket::new(COMPLAINTS.0, COMPLAINTS.1, Instant::now()));
        let nonces = Nonces::new(store.table(NONCES));
        Self { rules: ArcSwapOption::from_pointee(rules), nonces, metrics, complaints }
    }

    /// Notes in a store that records of it may be lost, and used nonces with them.
    pub fn store_lost(store: &Arc<Store>) -> Result<(), StoreError> {
        Nonces::lost(&store.table(NONCES), Some(now()).filter(|now| *now != NOT_SET))
    }

    /// Puts new rules in the place of the old, from the next request on.
    pub fn set(&self, rules: Option<Rules>) {
        self.rules.store(rules.map(Arc::new));
    }

    /// Decides by a request's head alone, and notes in it what its holder may do. What is returned is still to be
    /// [settled](Self::settle) once the body is there. A key that was shown is taken out of the head: no guest sees it.
    pub(super) fn admit(&self, head: &mut Incoming) -> Result<Option<Signed>, Failure> {
        let rules = self.rules.load();
        let Some(rules) = rules.as_deref() else { return Ok(None) };
        match rules.admit(head, now()) {
            // Before a body is read for it.
            Ok(Admission { signed: Some(signed), .. }) if self.nonces.is_used(&signed) => {
                Err(self.refuse(&head.request_id, Refusal::Replay))
            }
            Ok(admission) => {
                head.may_manage = admission.may_manage;
                Ok(admission.signed)
            }
            Err(refusal) => Err(self.refuse(&head.request_id, refusal)),
        }
    }

    /// Holds a signed request against its body and makes its nonce used, on the disk, before anything is done for it.
    pub(super) async fn settle(
        self: &Arc<Self>,
        signed: Signed,
        mut incoming: Incoming,
    ) -> Result<Incoming, Failure> {
        let Body::Whole(body) = std::mem::take(&mut incoming.body) else {
            return Err(Failure::Busy("a signed body is read whole"));
        };
        let access = self.clone();
        // Both take their time, the digest of a large body and the disk, which the door's thread has not.
        let settled = tokio::task::spawn_blocking(move || {
            let outcome = access.settle_now(&signed, &body);
            (body, outcome)
        });
        let Ok((body, outcome)) = settled.await else {
            return Err(Failure::Busy("the agent is ending"));
        };
        match outcome {
            Ok(()) => {
                incoming.body = Body::Whole(body);
                Ok(incoming)
            }
            Err(NotTaken::Used) => Err(self.refuse(&incoming.request_id, Refusal::Replay)),
            Err(NotTaken::OtherBody) => Err(self.refuse(&incoming.request_id, Refusal::Body)),
            Err(NotTaken::Full) => {
                self.complain(&incoming.request_id, "its key has no room for another nonce");
                Err(Failure::Busy("too many signed requests"))
            }
            Err(NotTaken::Store(error)) => {
                self.complain(&incoming.request_id, format_args!("its nonce can not be kept: {error}"));
                Err(Failure::Busy("a signed request can not be noted"))
            }
        }
    }

    fn settle_now(&self, signed: &Signed, body: &[u8]) -> Result<(), NotTaken> {
        if !signed.is_of(body) {
            return Err(NotTaken::OtherBody);
        }
        match now() {
            // It was set when the head came.
            NOT_SET => Err(NotTaken::Used),
            now => self.nonces.take(signed, now),
        }
    }

    /// Counts and logs a refusal, and makes of it what the client learns.
    fn refuse(&self, request_id: &str, refusal: Refusal) -> Failure {
        self.metrics.refused(refusal.label());
        self.complain(request_id, refusal);
        Failure::Unauthorized
    }

    fn complain(&self, request_id: &str, why: impl fmt::Display) {
        if self.complaints.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            log::warn!("public: request {request_id} is refused: {why}");
        }
    }
}

impl Refusal {
    /// Its value of the label `reason`.
    fn label(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Ambiguous => "ambiguous",
            Self::WrongKey => "wrong_key",
            Self::NotOpened => "not_opened",
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::Window(_) => "window",
            Self::Replay => "replay",
            Self::Body => "body",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => "it shows no key, and its path is not public",
            Self::Ambiguous => "it shows more than one key or signature",
            Self::WrongKey => "no entry has its key",
            Self::NotOpened => "its key does not open its path",
            Self::Malformed => "its signature's headers are missing, doubled or malformed",
            Self::BadSignature => "its signature does not hold, or its key signs nothing",
            Self::Window(NOT_SET) => "this node's clock is not set, and no signature is good until it is",
            Self::Window(_) => {
                "its time is not near this node's; one of the two clocks is wrong, or it is old"
            }
            Self::Replay => "its nonce was used before",
            Self::Body => "its body is not the one that was signed for",
        })
    }
}

/// Seconds since 1970, by this node's clock. Where it is not set, the last that was known would not do: it is past, and
/// a signature that was overheard then could be good again.
fn now() -> u64 {
    if wall::is_set() { wall::now_secs() } else { NOT_SET }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_named_as_the_cause() {
        assert!(Refusal::Window(NOT_SET).to_string().contains("this node's clock is not set"));
        assert!(Refusal::Window(1_800_000_000).to_string().contains("one of the two clocks is wrong"));
    }
}
