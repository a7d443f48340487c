//! Power cuts: the file system loses what was not durable, the agent is killed, and the next boot replays the journal.

use std::fs;

use twinlet_tests::Agent;
use twinlet_tests::ledger::Ledger;
use twinlet_tests::loaded::Loaded;
use twinlet_tests::whole::Whole;

use crate::kills::Rollouts;
use crate::mounts::{Mount, no_ext4};
use crate::row::{Bed, Notes, Row, Tries, agent};

pub(crate) const POWER: Row = Row {
    name: "power",
    fault: "power cut (ext4 shutdown, journal not flushed)",
    short: 5,
    full: 100,
    per_bed: 50,
    at_once: 1,
    left_out: no_ext4,
    bed: || Box::new(Cut::prepared()),
};

struct Cut {
    running: Agent,
    rollouts: Rollouts,
    mount: Mount,
}

impl Cut {
    fn prepared() -> Self {
        let mount = Mount::ext4().unwrap();
        let node = Loaded::around(agent().env("CACHE_DIR", mount.path().join("state").display()));
        let running = node.first_start();
        let rollouts = Rollouts { node, ledger: Ledger::default(), whole: Whole::default(), latest: 1 };
        Self { running, rollouts, mount }
    }
}

impl Bed for Cut {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        self.rollouts.killed(&mut self.running, tries, |_| self.mount.cut());
        self.mount.boot();
        // After a real cut the boot is another one, and the starts of the one before count for nothing.
        fs::remove_file(self.mount.path().join("state/db.starts")).ok();
        self.running = self.rollouts.node.builder.start();
        self.rollouts.whole_again(&self.running);
    }

    fn finish(mut self: Box<Self>, notes: &mut Notes) {
        self.rollouts.finish(&self.running);
        assert!(!self.mount.path().join("state/db.damaged").exists(), "a database was set aside");
        notes.add("rollouts", self.rollouts.latest - 1);
        notes.add("promises kept", self.rollouts.ledger.promises());
    }
}
