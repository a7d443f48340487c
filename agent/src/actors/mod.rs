//! Actors: functions with a mailbox, one event at a time, timers, and kept state. Knows nothing of routes, and of
//! deployment only which version is to run.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | who is there, and messages to them: [`Actors`] |
//! | `actor` | one actor: its turns, crashes and restarts |
//! | `mailbox` | what waits for it |
//! | `timers`, `record` | delayed casts, on the disk, and the thread that fires them |
//! | `states` | what actors have synced |
//! | `waits` | who waits for whom, so that no ring of calls is closed |
//!
//! An event runs on a worker that holds the actor's lane, which has one place. A call from guest to guest takes the
//! caller's worker over to the callee's lane ([`Workers::visit`]), so it needs no second worker; what lies in the
//! callee's mailbox already goes first.

mod actor;
mod mailbox;
mod record;
mod states;
mod timers;
mod waits;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use twinlet_host::Messages;
use twinlet_host::messaging::{CallRet, Error, InstanceId, Sender};

use actor::Actor;
use mailbox::{Content, Event};
use states::States;
use timers::{Due, Refused, Timers};
use waits::Waits;

use crate::board::Board;
use crate::config::NodeId;
use crate::desired::FunctionId;
use crate::metrics::Metrics;
use crate::pool::{CallError, Function, Trace};
use crate::store::{Store, StoreError};
use crate::thread::Thread;
use crate::workers::{Lane, MAX_DEPTH, Turn, Workers};

/// How long an actor with much in its mailbox keeps a worker before others have their turn.
const SHARE: Duration = Duration::from_millis(10);

/// All actors.
pub struct Actors {
    house: Arc<House>,
}

/// An actor that was there when it was looked for.
pub struct Found(Arc<Actor>);

impl Found {
    /// The lane in which its events run.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.0.lane
    }
}

/// What all actors share.
struct House {
    node: NodeId,
    workers: Arc<Workers>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    present: RwLock<BTreeMap<String, Arc<Actor>>>,
    timers: Timers,
    states: States,
    waits: Waits,
}

impl Actors {
    /// No actor yet, and the timers and states that are on the disk.
    pub fn new(
        node: NodeId,
        store: &Arc<Store>,
        workers: Arc<Workers>,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let timers = Timers::restore(store.table("timers"))?;
        let states = States::new(store.table("actors"));
        let (present, waits) = (RwLock::default(), Waits::default());
        Ok(Self { house: Arc::new(House { node, workers, board, metrics, present, timers, states, waits }) })
    }

    /// Starts the thread that fires timers; it ends with [`Actors::stop`].
    pub fn start_timers(&self) -> std::io::Result<Thread> {
        let house = self.house.clone();
        Thread::start("timers", move || {
            while let Some(due) = house.timers.next() {
                house.fire(due);
            }
        })
    }

    /// Makes a version the one that runs: from its next turn on the actor is an instance of it, with the state that
    /// was synced last and the mailbox and timers that it has.
    pub fn deploy(&self, function: &Arc<Function>) {
        let house = &self.house;
        let id = function.id.as_str();
        let mut present = house.present.write().unwrap_or_else(PoisonError::into_inner);
        let actor = present
            .entry(id.to_owned())
            .or_insert_with(|| Arc::new(Actor::new(function.id.clone(), house.workers.lane(1))));
        actor.want_version(function.clone());
        let actor = actor.clone();
        drop(present);
        house.schedule(&actor);
        house.timers.unpark(id);
    }

    /// Has an actor take its last event; then it is gone, and with `forget` its timers and its state as well.
    pub fn retire(&self, id: &FunctionId, forget: bool) {
        match self.house.find(id.as_str()) {
            Some(actor) => {
                let (done, _) = mpsc::channel();
                actor.want_stop(forget, done);
                self.house.schedule(&actor);
            }
            None if forget => self.house.forget(id.as_str()),
            None => {}
        }
    }

    /// Forgets the timers and states of all functions but these, which are those of an earlier run.
    pub fn keep_only(&self, known: impl Fn(&str) -> bool) {
        let mut kept = self.house.timers.owners();
        match self.house.states.kept() {
            Ok(states) => kept.extend(states),
            Err(error) => log::warn!("looking for states of actors that are gone: {error}"),
        }
        kept.sort_unstable();
        kept.dedup();
        for id in kept.iter().filter(|id| !known(id) && self.house.find(id).is_none()) {
            self.house.forget(id);
        }
    }

    /// An actor that is there, to bring it a request.
    pub fn find(&self, id: &FunctionId) -> Option<Found> {
        self.house.find(id.as_str()).map(Found)
    }

    /// Brings an actor the body of a request, on a worker that holds its lane.
    pub fn request(
        &self,
        to: &Found,
        body: &[u8],
        deadline: Instant,
        trace: Option<&mut Trace>,
    ) -> Result<CallRet, CallError> {
        let mark = to.0.mailbox().mark();
        to.0.call(&self.house, (&self.house.src(""), body), (mark, 0, deadline), trace)
    }

    /// Timers that are to come.
    pub fn timers(&self) -> usize {
        self.house.timers.count()
    }

    /// The wall clock was set: timers [want writing](Self::want_writing).
    pub fn clock_stepped(&self) {
        self.house.timers.clock_stepped();
    }

    /// Whether [`Actors::rewrite_timers`] has something to do.
    pub fn want_writing(&self) -> bool {
        self.house.timers.are_stale()
    }

    /// Writes the timers by the time that the clock was set to. Blocks; to be called again for as long as they
    /// [want it](Self::want_writing). Says whether it worked.
    pub fn rewrite_timers(&self) -> bool {
        let outcome = self.house.timers.rewrite();
        if let Err(error) = &outcome {
            log::debug!("noting the new time of timers: {error}");
        }
        outcome.is_ok()
    }

    /// Has every actor take its last event, and ends the timers. Says whether all have by the deadline.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.house.timers.stop();
        let present = self.house.present.read().unwrap_or_else(PoisonError::into_inner);
        let actors: Vec<_> = present.values().cloned().collect();
        drop(present);
        let (done, ended) = mpsc::channel();
        for actor in &actors {
            actor.want_stop(false, done.clone());
            self.house.schedule(actor);
        }
        drop(done);
        actors.iter().all(|_| ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok())
    }
}

impl House {
    fn find(&self, id: &str) -> Option<Arc<Actor>> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        present.get(id).filter(|actor| !actor.closed.load(Ordering::Acquire)).cloned()
    }

    fn src(&self, function_id: &str) -> InstanceId {
        InstanceId { node_id: self.node.as_str().to_owned(), function_id: function_id.to_owned() }
    }

    /// Has a worker look after an actor soon.
    fn schedule(self: &Arc<Self>, actor: &Arc<Actor>) {
        if actor.scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        let (house, of_worker) = (self.clone(), actor.clone());
        let work = move |turn| {
            of_worker.scheduled.store(false, Ordering::Release);
            if turn == Turn::Run && of_worker.run(&house, Instant::now() + SHARE) {
                house.schedule(&of_worker);
            }
        };
        self.workers.post(&actor.lane, Box::new(work));
    }

    /// Puts an event into a mailbox, or gives it back where that is full.
    fn deliver(self: &Arc<Self>, actor: &Arc<Actor>, event: Event) -> Result<(), Event> {
        actor.mailbox().push(event)?;
        self.schedule(actor);
        Ok(())
    }

    fn fire(self: &Arc<Self>, due: Due) {
        let timer = match due {
            Due::Restart(id) => {
                if let Some(actor) = self.find(&id) {
                    self.schedule(&actor);
                }
                return;
            }
            Due::Timer(timer) => timer,
        };
        let actor = self.find(&timer.to);
        let event = Event { src: self.src(&timer.key.owner), content: Content::Timer(timer.clone()) };
        match actor.map(|actor| (self.deliver(&actor, event), actor)) {
            Some((Ok(()), actor)) => return self.metrics.actor_event(&actor.id, "timer"),
            // Its target has no room, or is on its way still, as after a restart.
            Some((Err(_), _)) | None => self.timers.park(timer.clone()),
        }
        // It may have come, or made room, in between, and then has nobody else to wake this timer.
        if self.find(&timer.to).is_some_and(|actor| actor.mailbox().has_room()) {
            self.timers.unpark(&timer.to);
        }
    }

    /// After an actor's last event. With `stays`, or where it is wanted again by now, it does not go.
    fn is_stopped(&self, actor: &Actor, dropped: Vec<Event>, forget: bool, stays: bool) {
        let id = actor.id.as_str();
        if !dropped.is_empty() {
            log::info!("actor {id}: {} messages were in its mailbox when it stopped", dropped.len());
        }
        for event in dropped {
            if let Content::Timer(timer) = event.content {
                // It was another's perhaps, and for whoever has this name next.
                self.timers.park(timer);
            }
        }
        if forget {
            self.forget(id);
        }
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        if !stays && actor.wants_nothing() {
            present.remove(id);
        }
    }

    fn forget(&self, id: &str) {
        if let Err(error) = self.timers.forget(id).and_then(|()| self.states.forget(id)) {
            log::warn!("forgetting the timers and the state of {id}: {error}; tried again at the next start");
        }
    }
}

impl Messages for Actors {
    fn cast(&self, from: &Sender, to: &str, message: Vec<u8>) -> Result<(), Error> {
        let actor = self.house.find(to).ok_or_else(|| unknown(to))?;
        let event = Event { src: self.house.src(&from.function_id), content: Content::Cast(message) };
        self.house.deliver(&actor, event).map_err(|_| {
            self.house.metrics.actor_event(&actor.id, "refused");
            Error::Full
        })
    }

    fn call(&self, from: &Sender, to: &str, message: &[u8], deadline: Instant) -> CallRet {
        match self.try_call(from, to, message, deadline) {
            Ok(answer) => answer,
            Err(why) => {
                log::debug!("{} calls {to}: {why}", from.function_id);
                CallRet::Err
            }
        }
    }

    fn delayed_cast(&self, from: &Sender, delay: Duration, to: &str, message: Vec<u8>) -> Result<(), Error> {
        if !from.in_event {
            return Err(Error::NotAnActor);
        }
        // Its own last event may still set one.
        if to != from.function_id && self.house.find(to).is_none() {
            return Err(unknown(to));
        }
        self.house.timers.set(&from.function_id, delay, to, message).map_err(|refused| match refused {
            Refused::Full => Error::Full,
            Refused::Store(error) => Error::Storage(error.to_string()),
        })
    }

    fn sync(&self, from: &Sender, state: Vec<u8>) -> Result<(), Error> {
        let present = self.house.present.read().unwrap_or_else(PoisonError::into_inner);
        let actor = present.get(&from.function_id).filter(|_| from.in_event).cloned();
        drop(present);
        let actor = actor.ok_or(Error::NotAnActor)?;
        let kept = self.house.states.put(&from.function_id, actor.policy(), state);
        kept.map_err(|error| Error::Storage(error.to_string()))
    }
}

impl Actors {
    fn try_call(
        &self,
        from: &Sender,
        to: &str,
        message: &[u8],
        deadline: Instant,
    ) -> Result<CallRet, String> {
        let house = &self.house;
        let actor = house.find(to).ok_or("it is not deployed, or no actor")?;
        if from.depth >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} calls lie above one another"));
        }
        let _wait = match from.in_event {
            true => Some(house.waits.begin(&from.function_id, to).ok_or("it waits for the caller")?),
            false => None,
        };
        let mark = actor.mailbox().mark();
        let _visit = house.workers.visit(&actor.lane, deadline).ok_or("it was busy until the deadline")?;
        let src = house.src(&from.function_id);
        let answer = actor.call(house, (&src, message), (mark, from.depth + 1, deadline), None);
        let answer = answer.map_err(|error| error.to_string())?;
        if Instant::now() >= deadline {
            return Err("it answered after the caller's deadline".into());
        }
        Ok(answer)
    }
}

fn unknown(to: &str) -> Error {
    Error::Unknown(format!("{to} is not deployed, or no actor"))
}
