//! A disk of 8 MB: it fills up, the running set goes on serving, and once there is room again all is as it should be.

use std::fs;
use std::time::Duration;

use twinlet_tests::loaded::Loaded;
use twinlet_tests::supervisor::kept_alive;
use twinlet_tests::wait::within;
use twinlet_tests::whole::Whole;
use twinlet_tests::{Agent, Desired, Function, guests};

use crate::mounts::{Mount, no_tmpfs};
use crate::row::{Bed, Row, Tries, agent};

pub(crate) const SMALL_DISK: Row = Row {
    name: "small-disk",
    fault: "disk of 8 MB, filled up",
    short: 2,
    full: 25,
    per_bed: 1,
    at_once: 1,
    left_out: no_tmpfs,
    bed: || Box::new(Small::prepared()),
};

/// The disk.
const BYTES: u64 = 8 << 20;
/// What a function that does not fit takes at most.
const LARGEST: u64 = 24 << 20;
/// For what was put off while the disk was full: more than any wait between two tries that it can have come to.
const HEALED: Duration = Duration::from_secs(60);
/// What is left free at most when the disk is filled.
const LEFT: u64 = 64 << 10;
/// How often systemd may have to start it again.
const MOST_RESTARTS: u32 = 4;

struct Small {
    node: Loaded,
    mount: Mount,
    /// None only while one agent takes another's place.
    running: Option<Agent>,
    whole: Whole,
}

impl Small {
    fn prepared() -> Self {
        let mount = Mount::tmpfs(BYTES).unwrap();
        let state = mount.path().join("state");
        // The room that is kept free by default is twice this disk.
        let node = Loaded::around(agent().env("CACHE_DIR", state.display()).env("MIN_FREE_MB", 1));
        let running = Some(node.builder.start());
        let mut small = Self { node, mount, running, whole: Whole::default() };
        small.publish(1, |desired| desired);
        small.reaches(1);
        small
    }

    fn publish(&self, version: u64, with: impl FnOnce(Desired) -> Desired) {
        let set = Whole::add_to(Desired::version(version), &self.node.artifacts, version);
        self.node.hub.publish_desired(with(set));
    }

    fn agent(&self) -> &Agent {
        self.running.as_ref().unwrap()
    }

    /// Waits until a version is served and reported as applied, by this agent or one that takes its place.
    fn reaches(&mut self, version: u64) -> u32 {
        let again = self.keep_alive();
        let mut whole = std::mem::take(&mut self.whole);
        within(HEALED, &format!("version {version} to be served"), || {
            (whole.round(self.agent(), version) && whole.newest() == version).then_some(())
        });
        self.whole = whole;
        self.node.hub.applied(version);
        again
    }

    fn serves_whole(&mut self, latest: u64) {
        self.whole.check(self.running.as_ref().unwrap(), latest);
    }

    fn keep_alive(&mut self) -> u32 {
        let (agent, again) = kept_alive(self.running.take().unwrap(), &self.node.builder, MOST_RESTARTS);
        self.running = Some(agent);
        again
    }

    fn free(&self) -> u64 {
        twinlet::store::free_bytes(&self.mount.path()).unwrap()
    }
}

impl Bed for Small {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let mut dice = tries.dice();
        // A function that does not fit.
        let size = self.free() + dice.throw(LARGEST - self.free());
        let large = guests::padded(guests::answers("large"), usize::try_from(size).unwrap());
        let large = Function::of("large", &self.node.artifacts.serve("large.wasm", large));
        self.publish(2, |desired| desired.function(large));
        self.node.hub.last_error("large");
        self.serves_whole(2);
        self.publish(3, |desired| desired);
        let mut again = self.reaches(3);
        // A disk that somebody else has filled.
        let filler = self.mount.path().join("filler");
        let left = dice.throw(LEFT);
        fs::write(&filler, vec![0; usize::try_from(self.free().saturating_sub(left)).unwrap()]).unwrap();
        self.publish(4, |desired| desired);
        for _ in 0..10 {
            again += self.keep_alive();
            self.serves_whole(4);
            dice.pause(Duration::from_millis(100));
        }
        // It starts on the full disk as well.
        self.running.as_mut().unwrap().kill9();
        again += self.keep_alive() - 1;
        self.serves_whole(4);
        fs::remove_file(&filler).unwrap();
        again += self.reaches(4);
        tries.notes.add("restarts", again);
    }
}
