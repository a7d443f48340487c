//! Power cuts: an agent that is killed again and again, at random moments and under load, keeps all that it promised.
//!
//! `TWINLET_KILL_CYCLES` says how often it is killed, `TWINLET_KILL_SEED` repeats the moments of an earlier run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use twinlet_tests::{
    Agent, AgentBuilder, ArtifactServer, Broker, Desired, Function, Hub, guests, needs_mosquitto,
};

use crate::agent;
use crate::ledger::{COUNTER, LATER, Ledger, SENDING, SOON, TIMING};

const CYCLES: u32 = 200;
/// The longest that an agent which is ready has until it is killed.
const LONGEST_LOAD: Duration = Duration::from_millis(300);
/// The same for one that is killed while it starts.
const LONGEST_START: Duration = Duration::from_millis(250);
/// The agent takes its database for the cause of three starts in a row that did not get through, and sets it aside.
const STARTS_CUT_IN_A_ROW: u32 = 2;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    /// The given seed, or one that nobody has had; printed, so that a failure can be repeated.
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let seed = std::env::var("TWINLET_KILL_SEED").map_or(now.into(), |seed| seed.parse().unwrap());
        eprintln!("TWINLET_KILL_SEED={seed}");
        Self(seed)
    }

    /// One of `0..below`, by splitmix64.
    fn throw(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// Lets a random time up to `longest` go by. Not a wait for anything: the moment itself is what is random.
    fn pause(&mut self, longest: Duration) {
        let longest = u64::try_from(longest.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(self.throw(longest)));
    }
}

/// Everything around the agent, which comes and goes. The broker goes last.
struct Node {
    builder: AgentBuilder,
    hub: Hub,
    _artifacts: ArtifactServer,
    _broker: Broker,
}

/// A node with functions that send telemetry, an actor that counts, a function that casts to it, and actors with timers.
fn node() -> (Node, Agent) {
    let broker = Broker::plain();
    let (hub, artifacts) = (Hub::at(&broker, "node-1"), ArtifactServer::start());
    let environment = [("LOG_LEVEL", "info"), ("OUTBOX_BYTES", "67108864")];
    let builder = agent().with(&broker).env("CP_URL", artifacts.base());
    let builder = environment.iter().fold(builder, |builder, (key, value)| builder.env(key, value));
    let running = builder.start();
    let function = |id: &str, bytes: Vec<u8>| {
        Function::of(id, &artifacts.serve(&format!("{id}.wasm"), bytes))
            .set("permissions", json!({ "telemetry": true }))
            .set("outputs", json!({ "to": COUNTER }))
    };
    let sending = SENDING.map(|id| function(id, guests::sends()));
    let desired = sending.into_iter().fold(Desired::version(1), Desired::serving);
    hub.publish_desired(
        desired
            .serving(function(COUNTER, guests::actors::counts_casts()))
            .serving(function("cast", guests::casts()))
            .serving(function(SOON, guests::actors::sends_later(20)))
            .serving(function(LATER, guests::actors::sends_later(1_200))),
    );
    hub.applied(1);
    (Node { builder, hub, _artifacts: artifacts, _broker: broker }, running)
}

impl Node {
    /// Starts the agent, and sees to it that nothing of what was on the disk is missing.
    fn start(&self, ledger: &Ledger) -> Agent {
        let agent = self.builder.start();
        agent.answers("/readyz", 200);
        ledger.check_count(&agent);
        let lost = agent.metrics().sum("twinlet_outbox_lost_total", &[]);
        assert!(lost == 0.0, "{lost} messages were missing at the start");
        agent
    }

    /// What the hub has had of a function, in order, and some of it perhaps more than once.
    fn arrived(&self, function: &str) -> Vec<String> {
        let topic = self.hub.topic("telemetry", &format!("/{function}"));
        self.hub.received(&topic).iter().map(twinlet_tests::hub::Message::text).collect()
    }

    /// Has each function send one message more, and waits for it and all before it.
    fn drain(&self, agent: &Agent, ledger: &Ledger) {
        agent.metrics_where("an empty outbox", |m| m.sum("twinlet_outbox_messages", &[]) == 0.0);
        for function in SENDING.into_iter().chain(TIMING) {
            let last = ledger.last(agent, function);
            let topic = self.hub.topic("telemetry", &format!("/{function}"));
            self.hub.wait_after(0, &topic, "the last message", |m| m.text() == last);
        }
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    if !needs_mosquitto() {
        return;
    }
    let cycles = std::env::var("TWINLET_KILL_CYCLES").map_or(CYCLES, |cycles| cycles.parse().unwrap());
    let (mut dice, ledger, (node, mut running)) = (Dice::new(), Ledger::default(), node());
    let (mut cut_in_a_row, mut cut) = (0, 0);
    for _ in 0..cycles {
        ledger.under_load(&mut running, || dice.pause(LONGEST_LOAD));
        while cut_in_a_row < STARTS_CUT_IN_A_ROW && dice.throw(4) == 0 {
            let mut starting = node.builder.spawn();
            dice.pause(LONGEST_START);
            starting.kill9();
            cut_in_a_row += 1;
            cut += 1;
        }
        cut_in_a_row = 0;
        running = node.start(&ledger);
    }
    node.drain(&running, &ledger);
    for function in SENDING {
        eprintln!("{function}: {}", ledger.check_telemetry(function, &node.arrived(function)));
    }
    for function in TIMING {
        eprintln!("{function}: {}", ledger.check_timers(function, &node.arrived(function)));
    }
    eprintln!("{COUNTER}: {}", ledger.check_count(&running));
    eprintln!("{cycles} kills under load, {cut} during a start");
    assert!(!running.state_dir().join("db.damaged").exists(), "a database was set aside");
}
