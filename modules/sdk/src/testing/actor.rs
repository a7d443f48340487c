//! An actor under test: events in, as the agent would deliver them.

use std::fmt;
use std::time::Duration;

use super::with;
use crate::actor::{Actor, Slot};
use crate::messaging::{InstanceId, Reply};
use crate::{Response, agent};

/// An actor that runs on this thread's [`Host`](super::Host), which has its config, its timers and its state. After
/// every event the actor takes what it cast to itself.
///
/// ```
/// use std::time::Duration;
/// use twinlet_guest::messaging::{self, SELF};
/// use twinlet_guest::prelude::*;
/// use twinlet_guest::testing::{Host, TestActor};
///
/// /// Passes on each message a second later.
/// struct Delay;
///
/// impl Actor for Delay {
///     fn init(_init: Init) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn cast(&mut self, from: &InstanceId, message: &[u8]) -> Result<(), Error> {
///         match *from == messaging::me() {
///             true => messaging::cast("next", message)?,
///             false => messaging::delayed_cast(Duration::from_secs(1), SELF, message)?,
///         }
///         Ok(())
///     }
/// }
///
/// let host = Host::new();
/// host.set_outputs(["next"]);
/// let mut delay = TestActor::<Delay>::start().unwrap();
/// delay.cast("hello").unwrap();
/// assert_eq!(host.timers()[0].after, Duration::from_secs(1));
/// delay.advance(Duration::from_millis(999));
/// assert!(host.casts().is_empty());
/// delay.advance(Duration::from_millis(1));
/// assert_eq!(host.casts().last().unwrap().name, "next");
/// ```
pub struct TestActor<A> {
    slot: Slot<A>,
}

// Not derived, so that an actor under test needs no `Debug` of its own.
impl<A> fmt::Debug for TestActor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestActor").finish_non_exhaustive()
    }
}

/// More than this many messages of an actor to itself, one from another, are taken for a circle.
const MAX_ROUNDS: usize = 10_000;

impl<A: Actor> TestActor<A> {
    /// Starts an instance from the host's config and the state that was synced last.
    ///
    /// # Errors
    /// The text of the error that `init` returned.
    pub fn start() -> Result<Self, String> {
        let actor = Self { slot: Slot::empty() };
        let synced = with(|state| state.messages.synced.clone());
        actor.event(|slot| slot.init(agent::config(), synced))?;
        Ok(actor)
    }

    /// Delivers a cast of another function, `fn-other`.
    ///
    /// # Errors
    /// The text of the error that the actor returned; the agent would log it, as the host did.
    ///
    /// # Panics
    /// If the actor does not stop casting to itself; so do all that deliver events.
    pub fn cast(&mut self, message: impl AsRef<[u8]>) -> Result<(), String> {
        self.cast_from(&other(), message)
    }

    /// As [`cast`](Self::cast), from a sender of choice.
    ///
    /// # Errors
    /// The text of the error that the actor returned.
    pub fn cast_from(&mut self, from: &InstanceId, message: impl AsRef<[u8]>) -> Result<(), String> {
        self.event(|slot| slot.cast(from, message.as_ref()))
    }

    /// Delivers a call of another function, `fn-other`.
    ///
    /// # Errors
    /// The text of the error that the actor returned; the agent would log it, as the host did, and the caller learns
    /// only that the call failed.
    pub fn call(&mut self, message: impl AsRef<[u8]>) -> Result<Reply, String> {
        self.call_from(&other(), message)
    }

    /// As [`call`](Self::call), from a sender of choice.
    ///
    /// # Errors
    /// The text of the error that the actor returned.
    pub fn call_from(&mut self, from: &InstanceId, message: impl AsRef<[u8]>) -> Result<Reply, String> {
        self.event(|slot| slot.call(from, message.as_ref()))
    }

    /// Delivers the body of a request that came by an HTTP route, and gives what the client gets: 200, 204 or 500.
    pub fn http(&mut self, body: impl AsRef<[u8]>) -> Response {
        let route = InstanceId { function_id: String::new(), ..agent::me() };
        match self.call_from(&route, body) {
            Ok(reply) => reply.into_body().map_or(Response::status(204), |body| Response::ok().bytes(body)),
            Err(_) => Response::status(500),
        }
    }

    /// Lets time pass on the host's clocks, and the timers fire that come due, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = with(|state| state.node.monotonic.saturating_add(by));
        while let Some(due) = with(|state| state.messages.fire(until)) {
            with(|state| state.node.advance(due.saturating_sub(state.node.monotonic)));
            self.take_own_casts();
        }
        with(|state| state.node.advance(until.saturating_sub(state.node.monotonic)));
    }

    /// Crashes the instance and starts the next: no `stop`, and only what was synced is left. Timers stay.
    ///
    /// # Errors
    /// The text of the error that `init` returned.
    pub fn restart(self) -> Result<Self, String> {
        drop(self);
        Self::start()
    }

    /// Stops the instance as the agent does before a new version, or at its end.
    pub fn stop(self) {
        run(|| self.slot.stop());
    }

    fn event<T>(&self, f: impl FnOnce(&Slot<A>) -> Result<T, String>) -> Result<T, String> {
        let outcome = run(|| f(&self.slot));
        if outcome.is_ok() {
            self.take_own_casts();
        }
        outcome
    }

    fn take_own_casts(&self) {
        for _ in 0..MAX_ROUNDS {
            let Some(message) = with(|state| state.messages.mailbox.pop_front()) else { return };
            // Its error is in the host's log, as it would be in the agent's.
            drop(run(|| self.slot.cast(&agent::me(), &message)));
        }
        panic!("the actor does not stop casting to itself");
    }
}

fn run<T>(f: impl FnOnce() -> T) -> T {
    with(|state| state.messages.in_event = true);
    let outcome = f();
    with(|state| state.messages.in_event = false);
    outcome
}

fn other() -> InstanceId {
    InstanceId { function_id: "fn-other".to_owned(), ..agent::me() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::{self, SELF, delayed_cast};
    use crate::testing::Host;
    use crate::{Error, actor::Init};

    /// Keeps what it was sent, and does what the message says.
    struct Diary(Vec<u8>);

    impl Actor for Diary {
        fn init(init: Init) -> Result<Self, Error> {
            match init.config_json() {
                "{}" => Ok(Self(init.state().unwrap_or_default().to_vec())),
                config => Err(Error::new(["config: ", config].concat())),
            }
        }

        fn cast(&mut self, _from: &InstanceId, message: &[u8]) -> Result<(), Error> {
            self.0.extend_from_slice(message);
            match message {
                b"2" => messaging::cast(SELF, "3")?,
                b"x" => messaging::cast(SELF, "x")?,
                b"?" => messaging::cast("nobody", "")?,
                _ => delayed_cast(Duration::from_millis(u64::from(message[0])), SELF, "t")?,
            }
            Ok(messaging::sync(&self.0)?)
        }

        fn stop(&mut self) {
            messaging::sync("stopped").unwrap();
        }
    }

    fn diary(host: &Host) -> String {
        String::from_utf8(host.synced().unwrap_or_default()).unwrap()
    }

    #[test]
    fn what_an_actor_casts_to_itself_is_its_next_event() {
        let host = Host::new();
        let mut actor = TestActor::<Diary>::start().unwrap();
        actor.cast("2").unwrap();
        assert_eq!(diary(&host), "23");
        assert_eq!(actor.cast("?").unwrap_err(), "not sent: `nobody` is not in outputs");
        assert_eq!(host.logs().last().unwrap().message, "cast: not sent: `nobody` is not in outputs");
    }

    #[test]
    fn timers_fire_in_their_order_and_outlive_a_crash() {
        let host = Host::new();
        let mut actor = TestActor::<Diary>::start().unwrap();
        actor.cast("b").unwrap();
        actor.cast("a").unwrap();
        let after: Vec<_> = host.timers().iter().map(|timer| timer.after.as_millis()).collect();
        assert_eq!(after, [97, 98]);
        let mut actor = actor.restart().unwrap();
        actor.advance(Duration::from_millis(97));
        assert_eq!(diary(&host), "bat");
        assert_eq!(crate::clock::monotonic(), Duration::from_millis(97));
    }

    #[test]
    fn a_restart_has_what_was_synced_and_a_stop_comes_first_only_when_there_is_time() {
        let host = Host::new();
        host.set_synced("1");
        let actor = TestActor::<Diary>::start().unwrap();
        let mut actor = actor.restart().unwrap();
        actor.cast("2").unwrap();
        assert_eq!(diary(&host), "123");
        actor.stop();
        assert_eq!(diary(&host), "stopped");
        host.set_config_json(r#"{"a":1}"#);
        assert_eq!(TestActor::<Diary>::start().unwrap_err(), r#"config: {"a":1}"#);
    }

    #[test]
    fn calls_without_an_answer_fail_and_over_http_they_are_a_500() {
        let host = Host::new();
        let mut actor = TestActor::<Diary>::start().unwrap();
        assert_eq!(actor.call("ab").unwrap_err(), "an unexpected call of 2 bytes from fn-other");
        assert_eq!(actor.http("ab").status_code(), 500);
        assert_eq!(
            host.logs().last().unwrap().message,
            "call: an unexpected call of 2 bytes from an HTTP route"
        );
    }

    #[test]
    fn timers_and_state_are_for_actors_alone() {
        let _host = Host::new();
        assert_eq!(messaging::sync(""), Err(messaging::Error::NotAnActor));
        assert_eq!(delayed_cast(Duration::ZERO, SELF, ""), Err(messaging::Error::NotAnActor));
        assert_eq!(messaging::call(SELF, ""), Err(messaging::CallFailed));
    }

    #[test]
    #[should_panic(expected = "does not stop casting to itself")]
    fn an_actor_that_runs_in_a_circle_is_told_so() {
        let _host = Host::new();
        let mut actor = TestActor::<Diary>::start().unwrap();
        actor.cast("x").unwrap();
    }
}
