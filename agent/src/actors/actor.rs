//! One actor: its mailbox, its instance, and the turns in which it takes its events. Whoever holds the actor's lane has
//! its turn; there is only one place in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use twinlet_host::messaging::{CallRet, InstanceId};

use super::House;
use super::mailbox::{Content, Event, Mailbox};
use crate::backoff;
use crate::desired::{FunctionId, StatePolicy};
use crate::metrics::Outcome;
use crate::pool::{CallError, Called, Function, Instance, Trace};
use crate::workers::Lane;

/// A crash after so long without one counts as the first.
const FORGIVEN: Duration = Duration::from_secs(60);
/// The wait before the second restart in a row; doubled each time. The first is at once.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a restart.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// An actor, over all its versions and instances.
pub(super) struct Actor {
    pub(super) id: FunctionId,
    /// Of one place: who holds it has the turn.
    pub(super) lane: Arc<Lane>,
    pub(super) mailbox: Mutex<Mailbox>,
    /// What it is to become, from the next turn on.
    wanted: Mutex<Wanted>,
    turn: Mutex<Turn>,
    /// Whether work for it lies in the workers' queue.
    pub(super) scheduled: AtomicBool,
    /// Takes no more messages.
    pub(super) closed: AtomicBool,
    /// Of the present version.
    transient: AtomicBool,
}

/// What an actor is to become, one after the other.
#[derive(Default)]
struct Wanted {
    /// First nothing: its last event, and what is told then.
    stop: Option<Stop>,
    /// Then an instance of this version.
    version: Option<Arc<Function>>,
}

/// How an actor is to end.
pub(super) struct Stop {
    /// Whether its timers and its state go as well.
    pub(super) forget: bool,
    /// Told when its last event is over.
    pub(super) done: mpsc::Sender<()>,
    /// What lies in the mailbox before this goes as well.
    pub(super) mark: u64,
}

/// What changes from turn to turn.
#[derive(Default)]
pub(super) struct Turn {
    function: Option<Arc<Function>>,
    instance: Option<Instance>,
    started: Option<Instant>,
    /// In a row.
    crashes: u32,
    restart_at: Option<Instant>,
    /// Calls from guest to guest that lie below this turn on its worker's stack.
    depth: u32,
}

impl Actor {
    pub(super) fn new(id: FunctionId, lane: Arc<Lane>) -> Self {
        Self {
            id,
            lane,
            mailbox: Mutex::default(),
            wanted: Mutex::default(),
            turn: Mutex::default(),
            scheduled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            transient: AtomicBool::new(false),
        }
    }

    /// Has it become a version, after what it was told before.
    pub(super) fn want_version(&self, function: Arc<Function>) {
        let mut wanted = self.wanted();
        self.closed.store(false, Ordering::Release);
        wanted.version = Some(function);
    }

    /// Has it stop.
    pub(super) fn want_stop(&self, forget: bool, done: mpsc::Sender<()>) {
        let mut wanted = self.wanted();
        self.closed.store(true, Ordering::Release);
        let forget = forget || wanted.stop.as_ref().is_some_and(|stop| stop.forget);
        *wanted = Wanted { stop: Some(Stop { forget, done, mark: self.mailbox().mark() }), version: None };
    }

    /// Whether it is to become anything that it is not.
    pub(super) fn wants_nothing(&self) -> bool {
        let wanted = self.wanted();
        wanted.stop.is_none() && wanted.version.is_none()
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn policy(&self) -> StatePolicy {
        if self.transient.load(Ordering::Acquire) { StatePolicy::Transient } else { StatePolicy::NodeLocal }
    }

    pub(super) fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits in the mailbox, until `until` at about; says whether something is left to do.
    pub(super) fn run(&self, house: &House, until: Instant) -> bool {
        let mut turn = self.turn();
        turn.depth = 0;
        let mut left = false;
        while !left && self.is_ready(house, &mut turn) {
            let Some(event) = self.mailbox().pop() else { break };
            self.take(house, &mut turn, event);
            left = Instant::now() >= until;
        }
        // Timers that found no room.
        house.timers.unpark(self.id.as_str());
        left
    }

    /// Takes what arrived before `mark`, and then a message whose sender waits until `deadline`. What was begun ends
    /// by its own deadline, not by an impatient caller's.
    pub(super) fn call(
        &self,
        house: &House,
        (src, message): (&InstanceId, &[u8]),
        (mark, depth, deadline): (u64, u32, Instant),
        mut trace: Option<&mut Trace>,
    ) -> Result<CallRet, CallError> {
        let mut turn = self.turn();
        if let Some(trace) = &mut trace {
            trace.warm = turn.instance.is_some() && self.wants_nothing();
        }
        // Of all that is taken in this turn: it lies on the caller's stack.
        turn.depth = depth;
        loop {
            let began = Instant::now();
            let is_ready = self.is_ready(house, &mut turn);
            if let Some(trace) = trace.as_mut().filter(|trace| !trace.warm) {
                trace.init += began.elapsed();
            }
            if !is_ready {
                return Err(CallError::Exhausted("the actor has crashed and starts again later".into()));
            }
            let function = turn.function.clone().ok_or_else(stopped)?;
            if Instant::now() >= deadline {
                return Err(CallError::Timeout(function.spec.max_execution));
            }
            let Some(event) = self.mailbox().pop_before(mark) else { break };
            self.take(house, &mut turn, event);
        }
        let function = turn.function.clone().ok_or_else(stopped)?;
        let began = Instant::now();
        let call = |instance: &mut Instance| instance.call(src, message);
        let answer = self.event(&mut turn, &function, |instance| match trace {
            Some(trace) => trace.around(instance, call),
            None => call(instance),
        });
        if depth > 0 {
            // A request is counted by the door's side.
            function.metrics.invoked(outcome(&answer), began.elapsed());
            function.metrics.tally.invoked(answer.is_err());
        }
        answer.inspect_err(|error| self.crashed(house, &mut turn, error))
    }

    /// One message that nobody waits for.
    fn take(&self, house: &House, turn: &mut Turn, event: Event) {
        let Some(function) = turn.function.clone() else { return };
        let began = Instant::now();
        let taken = self.event(turn, &function, |instance| instance.cast(&event.src, event.message()));
        function.metrics.invoked(outcome(&taken), began.elapsed());
        function.metrics.tally.invoked(taken.is_err());
        if let Content::Timer(timer) = &event.content {
            house.timers.over(timer);
        }
        if let Err(error) = taken {
            self.crashed(house, turn, &error);
        }
    }

    fn event<R>(
        &self,
        turn: &mut Turn,
        function: &Function,
        call: impl FnOnce(&mut Instance) -> Called<R>,
    ) -> Result<R, CallError> {
        let depth = turn.depth;
        let instance = turn.instance.as_mut().ok_or_else(stopped)?;
        function.event(instance, Instant::now() + function.spec.max_execution, |i| call(i.is_event(depth)))
    }

    /// Becomes what it is to be, and starts where it has no instance; false where it takes nothing now.
    fn is_ready(&self, house: &House, turn: &mut Turn) -> bool {
        let wanted = std::mem::take(&mut *self.wanted());
        if let Some(Stop { forget, done, mark }) = wanted.stop {
            self.stop(turn);
            *turn = Turn { depth: turn.depth, ..Turn::default() };
            let dropped = std::iter::from_fn(|| self.mailbox().pop_before(mark)).collect();
            house.is_stopped(self, dropped, forget, wanted.version.is_some());
            if done.send(()).is_err() {
                log::debug!("actor {}: nobody waits for its end", self.id);
            }
        }
        if let Some(function) = wanted.version {
            self.stop(turn);
            self.transient.store(function.spec.state == StatePolicy::Transient, Ordering::Release);
            *turn = Turn { function: Some(function), depth: turn.depth, ..Turn::default() };
        }
        // The first restart is at once: the second pass of this loop.
        while turn.instance.is_none() {
            let Some(function) = turn.function.clone() else { return false };
            if turn.restart_at.is_some_and(|at| at > Instant::now()) {
                return false;
            }
            self.start(house, turn, &function);
        }
        true
    }

    fn start(&self, house: &House, turn: &mut Turn, function: &Function) {
        let state = house.states.get(self.id.as_str()).unwrap_or_else(|error| {
            log::error!("actor {}: its state can not be read: {error}; it starts without", self.id);
            None
        });
        let config = serde_json::Value::Object(function.spec.config.clone()).to_string();
        let deadline = Instant::now() + function.spec.max_execution;
        let depth = turn.depth;
        let started = function.take(deadline).and_then(|mut instance| {
            function.event(&mut instance, deadline, |i| i.is_event(depth).init(&config, state.as_deref()))?;
            Ok(instance)
        });
        match started {
            Ok(instance) => {
                turn.instance = Some(instance);
                turn.started = Some(Instant::now());
                if turn.crashes > 0 {
                    house.board.actor_runs(&self.id);
                }
            }
            Err(error) => self.crashed(house, turn, &error),
        }
    }

    /// Throws the instance away, and says when the next may start.
    fn crashed(&self, house: &House, turn: &mut Turn, error: &CallError) {
        turn.instance = None;
        if turn.started.take().is_some_and(|at| at.elapsed() >= FORGIVEN) {
            turn.crashes = 0;
        }
        // The first restart is at once.
        let again = |crashes| backoff::wait(FIRST_WAIT, LONGEST_WAIT, crashes);
        let wait = turn.crashes.checked_sub(1).map_or(Duration::ZERO, again);
        turn.crashes = turn.crashes.saturating_add(1);
        if !self.closed.load(Ordering::Acquire) {
            house.metrics.actor_event(&self.id, "crash");
        }
        let crashes = turn.crashes;
        let level = match &turn.function {
            Some(function) if !function.may_complain() => log::Level::Debug,
            _ => log::Level::Warn,
        };
        log::log!(
            level,
            "actor {}: crash {crashes}: {error}; it starts again in {} ms",
            self.id,
            wait.as_millis()
        );
        if let Some(function) = &turn.function {
            function.metrics.tally.broke_down();
            let version = function.spec.version;
            house.board.actor_crashed(&self.id, version, &error.to_string(), crashes, !wait.is_zero());
        }
        let at = Instant::now() + wait;
        turn.restart_at = Some(at);
        // Even where nobody sends it anything.
        house.timers.restart_at(at, self.id.as_str());
    }

    /// The last event of the present instance, if there is one.
    fn stop(&self, turn: &mut Turn) {
        let Some(function) = turn.function.clone() else { return };
        if turn.instance.is_some()
            && let Err(error) = self.event(turn, &function, Instance::stop)
        {
            log::warn!("actor {}: handle-stop: {error}", self.id);
        }
        turn.instance = None;
    }
}

fn outcome<R>(result: &Result<R, CallError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(CallError::Timeout(_)) => Outcome::Timeout,
        Err(_) => Outcome::Error,
    }
}

fn stopped() -> CallError {
    CallError::Exhausted("the actor is not running".into())
}
