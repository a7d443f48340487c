//! A disk that fails for a while: the running set goes on serving, what was acknowledged is kept, and once the disk is
//! well everything is taken again without a human. An agent that chooses to end itself is started again, as by systemd.

use std::time::{Duration, Instant};

use twinlet_tests::dice::Dice;
use twinlet_tests::ledger::COUNTER;
use twinlet_tests::loaded::Loaded;
use twinlet_tests::supervisor::kept_alive;
use twinlet_tests::wait::within;
use twinlet_tests::whole::Whole;
use twinlet_tests::{Agent, AgentBuilder, eventually};

use crate::row::{Bed, Notes, Row, Tries, agent};
use crate::shim::{Failing, OPEN, RENAME, SYNC, Shim, WRITE, no_shim};

pub(crate) const DISK_ERRORS: Row = Row {
    name: "disk-errors",
    fault: "EIO and ENOSPC on write, fsync, rename, open",
    short: 12,
    full: 250,
    per_bed: 50,
    at_once: 1,
    left_out: no_shim,
    bed: || Box::new(Failed::prepared()),
};

/// The longest that the disk fails under load.
const LONGEST: Duration = Duration::from_millis(800);
/// Until everything is taken again.
const HEALED: Duration = Duration::from_secs(60);
/// How often systemd may have to start it again.
const MOST_RESTARTS: u32 = 4;
/// Calls that succeed at most before the first that fails.
const SKIPPED: u64 = 60;
/// More calls than there are.
const ALL: i64 = i64::MAX / 2;

struct Failed {
    node: Loaded,
    builder: AgentBuilder,
    shim: Shim,
    /// None only while one agent takes another's place.
    running: Option<Agent>,
    whole: Whole,
    latest: u64,
    /// Messages that were acknowledged, and the number of the next.
    acknowledged: Vec<String>,
    next: u64,
    /// Casts that were asked for, and the highest count that was answered while the disk was well.
    casts: u64,
    count: u64,
}

impl Failed {
    fn prepared() -> Self {
        let node = Loaded::around(agent());
        let (shim, builder) = Shim::before(node.builder.clone(), node.builder.state_dir());
        let running = Some(builder.start());
        node.roll_out(1);
        node.hub.applied(1);
        Self {
            node,
            builder,
            shim,
            running,
            whole: Whole::seen(1),
            latest: 1,
            acknowledged: Vec::new(),
            next: 0,
            casts: 0,
            count: 0,
        }
    }

    fn agent(&self) -> &Agent {
        self.running.as_ref().unwrap()
    }

    /// Posts; true where it was taken.
    fn post(&self, path: &str, body: &str, taken: u16) -> bool {
        let sent = self.agent().request("POST", path).body(body).try_send();
        sent.is_ok_and(|answer| answer.status == taken)
    }

    /// Asks for a little of everything once. True where all of it was taken.
    fn load(&mut self, well: bool) -> bool {
        let message = format!("one {}", self.next);
        self.next += 1;
        let sent = self.post("/one", &message, 200);
        if sent {
            self.acknowledged.push(message);
        }
        self.casts += 1;
        let cast = self.post("/cast", "x", 202);
        let answer = self.agent().request("POST", &format!("/{COUNTER}")).try_send();
        let count = answer.ok().filter(|answer| answer.status == 200).and_then(|a| a.text().parse().ok());
        if let Some(count) = count {
            assert!(
                (self.count..=self.casts).contains(&count),
                "{} <= {count} <= {}",
                self.count,
                self.casts
            );
            if well {
                self.count = count;
            }
        }
        sent && cast && count.is_some()
    }

    fn keep_alive(&mut self) -> u32 {
        let (agent, again) = kept_alive(self.running.take().unwrap(), &self.builder, MOST_RESTARTS);
        self.running = Some(agent);
        again
    }
}

fn failing(dice: &mut Dice) -> Failing {
    Failing {
        calls: *dice.pick(&[WRITE, SYNC, WRITE | SYNC, RENAME, OPEN, WRITE | SYNC | RENAME | OPEN]),
        error: *dice.pick(&[libc::EIO, libc::ENOSPC]),
        skip: i64::try_from(dice.throw(SKIPPED)).unwrap(),
        left: *dice.pick(&[1, 5, ALL]),
    }
}

impl Bed for Failed {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let mut dice = tries.dice();
        let failing = failing(&mut dice);
        eprintln!("disk-errors {}: {failing:?}", tries.number());
        self.shim.fail(failing);
        self.latest += 1;
        self.node.roll_out(self.latest);
        let end = Instant::now() + dice.up_to(LONGEST);
        let mut whole = std::mem::take(&mut self.whole);
        while Instant::now() < end {
            self.load(false);
            whole.round(self.agent(), self.latest);
        }
        let mut running = self.running.take().unwrap();
        if running.runs() {
            // It goes on serving, though the disk still fails.
            whole.check(&running, self.latest);
        }
        self.running = Some(running);
        tries.notes.add("calls failed", self.shim.heal());
        let mut again = self.keep_alive();
        let latest = self.latest;
        within(HEALED, "all to be taken again", || {
            again += self.keep_alive();
            (self.load(true) && whole.round(self.agent(), latest) && whole.newest() == latest).then_some(())
        });
        self.whole = whole;
        tries.notes.add("restarts", again);
    }

    fn finish(self: Box<Self>, notes: &mut Notes) {
        let topic = self.node.hub.topic("telemetry", "/one");
        eventually("all telemetry", || {
            let received = self.node.hub.received(&topic);
            let arrived: std::collections::HashSet<_> = received.iter().map(|m| m.text()).collect();
            self.acknowledged.iter().all(|message| arrived.contains(message)).then_some(())
        });
        notes.add("messages kept", self.acknowledged.len());
    }
}
