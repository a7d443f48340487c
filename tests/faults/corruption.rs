//! Damage to the state directory: the agent starts all the same, reaches what the hub wants, serves nothing wrong, and
//! where records are gone it says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use twinlet_tests::dice::Dice;
use twinlet_tests::supervisor::{kept_alive, supervised};
use twinlet_tests::whole::Whole;
use twinlet_tests::{Agent, AgentBuilder, Link, eventually};

use twinlet_tests::ledger::COUNTER;
use twinlet_tests::loaded::Loaded;

use crate::row::{Bed, Row, Tries, agent, everywhere};

pub(crate) const CORRUPTION: Row = Row {
    name: "corruption",
    fault: "damage to the state directory",
    short: 25,
    full: 400,
    per_bed: 100,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Damaged::prepared()),
};

/// How often systemd may have to start it again.
const MOST_RESTARTS: u32 = 4;
/// Messages that wait for the broker in the directory that is damaged.
const WAITING: usize = 20;
/// What the actor has counted there.
const COUNTED: usize = 7;

/// A state directory that is whole, and everything that an agent needs to go on from it.
struct Damaged {
    node: Loaded,
    whole: PathBuf,
    /// Holds the directory.
    _first: AgentBuilder,
    /// Messages that were acknowledged and are in the outbox.
    messages: Vec<String>,
    /// The version of the document.
    version: u64,
}

impl Damaged {
    fn prepared() -> Self {
        let node = Loaded::around(agent());
        let link = Link::to(&node.broker);
        let first = node.builder.clone().env("MQTT_BROKER", link.url());
        let mut running = first.start();
        let version = 2;
        node.roll_out(version);
        node.hub.applied(version);
        for _ in 0..COUNTED {
            assert_eq!(running.post("/cast", "x").status, 202);
        }
        assert_eq!(counted(&running), COUNTED);
        link.cut();
        running.metrics_where("the lost connection", |m| m.sum("twinlet_mqtt_connected", &[]) == 0.0);
        let messages: Vec<_> = (0..WAITING).map(|number| format!("one {number}")).collect();
        for message in &messages {
            assert_eq!(running.post("/one", message.as_str()).status, 200);
        }
        running.kill9();
        let whole = first.state_dir().to_owned();
        Self { node, whole, _first: first, messages, version }
    }

    /// The messages that have come since a mark.
    fn arrived(&self, mark: usize) -> BTreeSet<String> {
        let topic = self.node.hub.topic("telemetry", "/one");
        let received = self.node.hub.received_since(mark);
        received.iter().filter(|message| message.topic == topic).map(|message| message.text()).collect()
    }
}

impl Bed for Damaged {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let mut dice = tries.dice();
        let builder = self.node.builder.with_state_of(&self.whole);
        let told = damage(builder.state_dir(), &mut dice);
        eprintln!("corruption {}: {told}", tries.number());
        let mark = self.node.hub.mark();
        let (running, at_start) = supervised(&builder, MOST_RESTARTS);
        self.node.hub.status_after(mark, "online");
        // Reached, whatever it takes; a restart in between is systemd's.
        let (running, later) = eventually_whole(running, &builder, self.version);
        tries.notes.add("restarts", at_start + later);
        let count = counted(&running);
        let last = eventually("telemetry to be taken", || {
            Some("one last".to_owned()).filter(|last| running.post("/one", last.as_str()).status == 200)
        });
        eventually("the last message", || self.arrived(mark).contains(&last).then_some(()));
        let missing = self.messages.iter().filter(|message| !self.arrived(mark).contains(*message)).count();
        let told_of = complains(&running);
        if missing > 0 {
            let lost = running.metrics().sum("twinlet_outbox_lost_total", &[]);
            assert!(lost > 0.0 || told_of, "{missing} messages are missing, and nothing says so: {told}");
            tries.notes.add("lost messages, all told", missing);
        }
        if count != COUNTED {
            assert!(told_of, "the actor has counted {count}, and nothing says so: {told}");
            tries.notes.add("actors that began anew, all told", 1u64);
        }
        let aside = running.state_dir().join("db.damaged").exists();
        tries.notes.add("databases set aside", u64::from(aside));
    }
}

/// Waits until the agent, or the one that takes its place, serves the whole set of this version.
fn eventually_whole(mut running: Agent, builder: &AgentBuilder, version: u64) -> (Agent, u32) {
    let mut restarts = 0;
    loop {
        let reached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Whole::default().reaches(&running, version);
            counted(&running);
        }));
        if reached.is_ok() {
            return (running, restarts);
        }
        let (next, again) = kept_alive(running, builder, MOST_RESTARTS - restarts);
        assert!(again > 0, "the agent runs, and does not serve version {version}");
        (running, restarts) = (next, restarts + again);
    }
}

fn counted(agent: &Agent) -> usize {
    let path = format!("/{COUNTER}");
    let ask = || agent.request("POST", &path).try_send().ok().filter(|answer| answer.status == 200);
    eventually("the actor that counts", ask).text().parse().unwrap()
}

/// Whether the log speaks of damage.
fn complains(agent: &Agent) -> bool {
    agent.log_since(0).iter().any(|line| {
        let loud = line.contains("WARN") || line.contains("ERROR");
        let words =
            ["damage", "corrupt", "missing", "lost", "set aside", "can not be read", "cannot be read"];
        loud && !line.contains("mqtt") && words.iter().any(|word| line.to_lowercase().contains(word))
    })
}

/// Damages a file below the directory in one way, or two files that change places; says what was done.
fn damage(state: &Path, dice: &mut Dice) -> String {
    let files = files(state);
    let of_database: Vec<_> =
        files.iter().filter(|file| file.starts_with(state.join("db"))).cloned().collect();
    let among = if dice.throw(2) == 0 && !of_database.is_empty() { &of_database } else { &files };
    let file = dice.pick(among).clone();
    let mut bytes = fs::read(&file).unwrap();
    let long = bytes.len().max(1);
    let done = match dice.throw(5) {
        0 => {
            fs::remove_file(&file).unwrap();
            return format!("{} deleted", file.display());
        }
        1 => {
            let other = dice.pick(&files).clone();
            let others = fs::read(&other).unwrap();
            fs::write(&other, &bytes).unwrap();
            fs::write(&file, others).unwrap();
            return format!("{} and {} swapped", file.display(), other.display());
        }
        2 => {
            bytes.truncate(dice.index(long));
            format!("cut to {} of {long}", bytes.len())
        }
        3 => {
            let (from, many) = (dice.index(long), 1 + dice.index(4_096));
            let to = (from + many).min(bytes.len());
            bytes[from.min(to)..to].fill(0);
            format!("zeroed from {from} to {to} of {long}")
        }
        _ => {
            let flips: Vec<_> = (0..=dice.throw(8)).map(|_| (dice.index(long), 1 << dice.throw(8))).collect();
            for (at, bit) in &flips {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte ^= bit;
                }
            }
            format!("flipped at {:?} of {long}", flips.iter().map(|(at, _)| at).collect::<Vec<_>>())
        }
    };
    fs::write(&file, bytes).unwrap();
    format!("{} {done}", file.display())
}

/// All regular files below a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
