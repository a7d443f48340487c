//! kill -9 at random moments of rollouts, telemetry and actor work. After each the agent starts, it serves the whole of
//! one document and never a mix of two, and nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use twinlet_tests::Agent;
use twinlet_tests::ledger::Ledger;
use twinlet_tests::loaded::Loaded;
use twinlet_tests::whole::Whole;

use crate::row::{Bed, Notes, Row, Tries, agent, everywhere};

pub(crate) const KILL: Row = Row {
    name: "kill",
    fault: "kill -9 in rollouts, telemetry and actor work",
    short: 25,
    full: 1_000,
    per_bed: 100,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Killed::prepared()),
};

/// The longest that a rollout and the load beside it have until the kill.
const LONGEST_LOAD: Duration = Duration::from_millis(700);
/// The longest from the begin of the load to the rollout.
const LONGEST_BEFORE: Duration = Duration::from_millis(50);
/// The longest that a start has which is killed too.
const LONGEST_START: Duration = Duration::from_millis(250);
/// The agent takes its database for the cause of three starts in a row that did not get through, and sets it aside.
const STARTS_CUT_IN_A_ROW: u32 = 2;

/// A node under load, the work of rollouts included.
pub(crate) struct Rollouts {
    pub(crate) node: Loaded,
    pub(crate) ledger: Ledger,
    pub(crate) whole: Whole,
    /// The last document that was published.
    pub(crate) latest: u64,
}

impl Rollouts {
    /// Rolls out a new document and looks at the set of functions, until a random time is over.
    pub(crate) fn roll_out(&mut self, agent: &Agent, before: Duration, load: Duration) {
        // Not a wait for anything: the moment is what is random.
        std::thread::sleep(before);
        self.latest += 1;
        self.node.roll_out(self.latest);
        let end = Instant::now() + load;
        while Instant::now() < end {
            self.whole.round(agent, self.latest);
        }
    }

    /// Loads the agent, rolls out beside it, and kills it; `before` is called just before.
    pub(crate) fn killed(&mut self, running: &mut Agent, tries: &Tries<'_>, before: impl FnOnce(&Agent)) {
        let mut dice = tries.dice();
        let (wait, load) = (dice.up_to(LONGEST_BEFORE), dice.up_to(LONGEST_LOAD));
        let ledger = std::mem::take(&mut self.ledger);
        ledger.under_load_until(running, |agent| self.roll_out(agent, wait, load), before);
        self.ledger = ledger;
    }

    /// Sees to it that a started agent has lost nothing and serves a whole document.
    pub(crate) fn whole_again(&mut self, running: &Agent) {
        Loaded::nothing_is_missing(running, &self.ledger);
        self.whole.check(running, self.latest);
    }

    /// Sees to it that the last document is served, and that all that was acknowledged has arrived.
    pub(crate) fn finish(&mut self, running: &Agent) {
        self.whole.reaches(running, self.latest);
        self.node.drain(running, &self.ledger);
        self.node.check(running, &self.ledger);
    }
}

struct Killed {
    running: Agent,
    rollouts: Rollouts,
}

impl Killed {
    fn prepared() -> Self {
        let node = Loaded::around(agent());
        let running = node.first_start();
        let rollouts = Rollouts { node, ledger: Ledger::default(), whole: Whole::default(), latest: 1 };
        Self { running, rollouts }
    }
}

impl Bed for Killed {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        self.rollouts.killed(&mut self.running, tries, |_| {});
        let mut dice = tries.dice_of(tries.number() ^ 1 << 31);
        let mut cut = 0;
        while cut < STARTS_CUT_IN_A_ROW && dice.throw(4) == 0 {
            let mut starting = self.rollouts.node.builder.spawn();
            dice.pause(LONGEST_START);
            starting.kill9();
            cut += 1;
        }
        tries.notes.add("starts killed too", cut);
        self.running = self.rollouts.node.builder.start();
        self.rollouts.whole_again(&self.running);
    }

    fn finish(mut self: Box<Self>, notes: &mut Notes) {
        self.rollouts.finish(&self.running);
        let aside = self.running.state_dir().join("db.damaged");
        assert!(!aside.exists(), "a database was set aside");
        notes.add("rollouts", self.rollouts.latest - 1);
        notes.add("promises kept", self.rollouts.ledger.promises());
    }
}
