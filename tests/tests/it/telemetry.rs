//! What functions send to the hub: it survives outages and kills, in order; it is bounded, fairly; and it leaves room
//! for heartbeats.

use serde_json::{Value, json};
use twinlet_tests::hub::Message;
use twinlet_tests::metrics::Metrics;
use twinlet_tests::{Agent, AgentBuilder, ArtifactServer, Broker, Desired, Function, Hub, Link, guests};

use crate::agent;

/// Readings in one request; the sample takes no more.
const AT_ONCE: usize = 1000;

/// A node behind a link, with functions that send on every reading. The agent goes first, the broker last.
struct Node {
    agent: Agent,
    hub: Hub,
    link: Link,
    _artifacts: ArtifactServer,
    _broker: Broker,
}

fn node(functions: &[&str], agent: AgentBuilder) -> Node {
    let broker = Broker::plain();
    let (artifacts, link) = (ArtifactServer::start(), Link::to(&broker));
    let hub = Hub::at(&broker, "node-1");
    let agent = agent.env("CP_URL", artifacts.base()).env("MQTT_BROKER", link.url()).start();
    let filter = artifacts.serve("filter.wasm", guests::prebuilt("sensor-filter"));
    let function = |id: &&str| {
        Function::of(id, &filter)
            .set("max_execution_ms", 60_000)
            .set("config", json!({ "threshold": 0 }))
            .set("permissions", json!({ "telemetry": true }))
    };
    let desired = functions.iter().map(function).fold(Desired::version(1), Desired::serving);
    hub.publish_desired(desired);
    hub.applied(1);
    Node { agent, hub, link, _artifacts: artifacts, _broker: broker }
}

impl Node {
    /// Has a function send these numbers, and returns the sequence number of the last.
    fn send(&self, function: &str, numbers: std::ops::Range<usize>) -> u64 {
        let mut last = 0;
        let numbers: Vec<usize> = numbers.collect();
        for some in numbers.chunks(AT_ONCE) {
            let readings: Vec<Value> = some.iter().map(|n| json!({ "sensor": "s", "value": n })).collect();
            let answer = self.agent.post(&format!("/{function}"), Value::from(readings).to_string());
            let outcomes = &answer.json()["readings"];
            assert_eq!((answer.status, outcomes.as_array().map(Vec::len)), (200, Some(some.len())));
            last = outcomes[some.len() - 1]["sequence"].as_u64().unwrap();
        }
        last
    }

    fn cut(&self) {
        self.link.cut();
        self.agent.metrics_where("the lost connection", |m| m.sum("twinlet_mqtt_connected", &[]) == 0.0);
    }

    /// Waits until `/metrics` shows so many messages that wait.
    fn waits(&self, messages: u32) {
        let right = |m: &Metrics| m.sum("twinlet_outbox_messages", &[]) == f64::from(messages);
        self.agent.metrics_where(&format!("{messages} messages that wait"), right);
    }

    fn drained(&self) {
        let empty = |m: &Metrics| {
            m.sum("twinlet_outbox_messages", &[]) == 0.0 && m.sum("twinlet_outbox_bytes", &[]) == 0.0
        };
        self.agent.metrics_where("an empty outbox", empty);
    }

    /// The numbers of a function in the order in which each came first: a message may come twice.
    fn numbers(&self, function: &str) -> Vec<usize> {
        let mut numbers = Vec::new();
        for message in self.hub.received(&self.hub.topic("telemetry", &format!("/{function}"))) {
            let number = number(&message);
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn number(message: &Message) -> usize {
    message.json()["value"].as_f64().unwrap() as usize
}

fn counted(from: usize, to: usize) -> Vec<usize> {
    (from..to).collect()
}

#[test]
fn what_was_taken_survives_kills_and_arrives_in_order_once_the_broker_is_there() {
    let mut node = node(&["one", "two"], agent());
    node.cut();
    for part in 0..4 {
        node.send("one", part * 25..part * 25 + 25);
        node.send("two", part * 10..part * 10 + 10);
    }
    node.agent.kill9();
    node.agent = node.agent.again(|builder| builder);
    node.agent.answers("/readyz", 200);
    node.waits(140);
    assert_eq!(node.send("one", 100..101), 101, "numbers go on where they were");
    // Once more, while it is being delivered.
    node.link.mend(20_000);
    node.hub.telemetry("one", 20);
    node.agent.kill9();
    assert!(node.numbers("one").len() < 101, "it was all delivered before the second kill");
    node.link.mend(0);
    node.agent = node.agent.again(|builder| builder);
    node.agent.answers("/readyz", 200);
    assert_eq!(node.send("two", 40..41), 41);
    node.drained();
    assert_eq!(node.numbers("one"), counted(0, 101));
    assert_eq!(node.numbers("two"), counted(0, 41));
    assert_eq!(node.agent.metrics().sum("twinlet_outbox_lost_total", &[]), 0.0);
}

#[test]
fn an_outbox_that_is_full_drops_the_oldest_of_whoever_floods_it_and_counts_them() {
    let node = node(&["flood", "quiet"], agent().env("OUTBOX_BYTES", 64 << 10));
    node.cut();
    node.send("quiet", 0..5);
    // Some 220 bytes each, with what the outbox adds.
    assert_eq!(node.send("flood", 0..700), 700);
    let dropped = |m: &Metrics| m.sum("twinlet_outbox_lost_total", &[r#"reason="full""#]);
    let page = node
        .agent
        .metrics_where("what was dropped", |m| dropped(m) + m.sum("twinlet_outbox_messages", &[]) == 705.0);
    assert!((60_000.0..65_536.0).contains(&page.sum("twinlet_outbox_bytes", &[])), "{}", page.text);
    assert!((200.0..600.0).contains(&dropped(&page)), "{}", page.text);
    node.link.mend(0);
    node.drained();
    assert_eq!(node.numbers("quiet"), counted(0, 5));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kept_from = dropped(&page) as usize;
    assert_eq!(node.numbers("flood"), counted(kept_from, 700));
    assert_eq!(dropped(&node.agent.metrics()), dropped(&page), "nothing more was dropped");
}

#[test]
fn heartbeats_keep_coming_while_a_large_outbox_drains_over_a_slow_link() {
    let environment = agent().env("OUTBOX_BYTES", 8 << 20).env("HEARTBEAT_INTERVAL_SECS", 1);
    let node = node(&["full"], environment);
    node.cut();
    node.send("full", 0..2000);
    node.waits(2000);
    let mark = node.hub.received(&node.hub.topic("heartbeat", "")).len();
    node.link.mend(80_000);
    node.hub.telemetry("full", 2000);
    // While it drained, not once it had: the hub has just got the last of it.
    let heartbeats = node.hub.received(&node.hub.topic("heartbeat", ""));
    assert!(heartbeats.len() - mark >= 4, "{} heartbeats", heartbeats.len() - mark);
    let times: Vec<u64> =
        heartbeats[mark..].iter().map(|m| m.json()["timestamp"].as_u64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 3), "a heartbeat was late: {times:?}");
    assert_eq!(node.numbers("full"), counted(0, 2000));
}
