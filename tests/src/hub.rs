//! The operator at the broker: publishes desired state and records all that nodes say; knows nothing of the agent but
//! its topics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use crate::broker::Broker;
use crate::wait::{DEADLINE, Journal};

/// One message as it came from the broker.
#[derive(Clone)]
pub struct Message {
    /// The topic it was published to.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// True if the broker had kept it from before the hub subscribed.
    pub retained: bool,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(1000).collect();
        write!(f, "\n  {}{} {text}", self.topic, if self.retained { " (retained)" } else { "" })
    }
}

impl Message {
    /// The payload as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or(Value::Null)
    }

    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// An MQTT client that follows `edge/#` for one node. Connects again by itself when the broker was away.
pub struct Hub {
    node: String,
    client: Client,
    messages: Journal<Message>,
    subscriptions: Journal<()>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// Connects by the broker's plain door and returns when the subscription stands.
    pub fn at(broker: &Broker, node: &str) -> Self {
        // Ids are unique, for a broker lets only one client of a name in.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let id = format!("hub-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let mut options = MqttOptions::new(id, "127.0.0.1", broker.hub_port());
        options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(64 << 20, 64 << 20);
        let (client, connection) = Client::new(options, 64);
        let mut hub = Self {
            node: node.to_owned(),
            client,
            messages: Journal::default(),
            subscriptions: Journal::default(),
            done: Arc::default(),
            thread: None,
        };
        hub.thread = Some(hub.follow(connection));
        hub.subscribed_since(0);
        hub
    }

    /// Publishes a whole desired state, retained.
    pub fn publish_desired(&self, document: impl Into<Value>) {
        self.publish(&self.topic("twin", "/desired"), document.into().to_string(), true);
    }

    /// Publishes a merge patch.
    pub fn publish_patch(&self, patch: impl Into<Value>) {
        self.publish(&self.topic("twin", "/desired/patch"), patch.into().to_string(), false);
    }

    /// Publishes one function, as the contract has it.
    pub fn deploy(&self, notification: impl Into<Value>) {
        self.publish(&self.topic("deployments", ""), notification.into().to_string(), false);
    }

    /// Publishes the whole route list, as the contract has it.
    pub fn routes(&self, list: impl Into<Value>) {
        self.publish(&self.topic("routes", ""), list.into().to_string(), false);
    }

    /// Publishes any bytes to any topic, QoS 1.
    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload.into()).unwrap();
    }

    /// The topic `edge/{kind}/{node}{rest}`.
    pub fn topic(&self, kind: &str, rest: &str) -> String {
        format!("edge/{kind}/{}{rest}", self.node)
    }

    /// A mark in what was received, for waiting only for later messages.
    pub fn mark(&self) -> usize {
        self.messages.mark()
    }

    /// Everything received after a mark.
    pub fn received_since(&self, mark: usize) -> Vec<Message> {
        self.messages.since(mark)
    }

    /// Everything received so far under one exact topic.
    pub fn received(&self, topic: &str) -> Vec<Message> {
        self.messages.all().into_iter().filter(|m| m.topic == topic).collect()
    }

    /// Waits for a message after `mark` on `topic` that `wanted` accepts.
    pub fn wait_after(
        &self,
        mark: usize,
        topic: &str,
        what: &str,
        wanted: impl Fn(&Message) -> bool,
    ) -> Message {
        let what = format!("{what} on {topic}");
        self.messages.wait(mark, DEADLINE, &what, |m| (m.topic == topic && wanted(m)).then(|| m.clone()))
    }

    /// Waits for a reported state, past or to come, that `wanted` accepts.
    pub fn reported_where(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.reported_after(0, what, wanted)
    }

    /// As `reported_where`, but only what came after `mark`.
    pub fn reported_after(&self, mark: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_after(mark, &self.topic("twin", "/reported"), what, |m| wanted(&m.json())).json()
    }

    /// The last reported state; null before the first.
    pub fn reported(&self) -> Value {
        self.received(&self.topic("twin", "/reported")).last().map_or(Value::Null, Message::json)
    }

    /// Waits until the node has reported that this desired state is applied.
    pub fn applied(&self, version: u64) -> Value {
        self.reported_status(version, 200)
    }

    /// Waits until the node has reported this outcome for this version.
    pub fn reported_status(&self, version: u64, code: u64) -> Value {
        self.reported_where(&format!("version {version} with {code}"), |r| {
            r["lastDesiredVersion"] == version && r["lastDesiredStatus"]["code"] == code
        })
    }

    /// Waits until a function of this version is reported in this phase.
    pub fn phase(&self, function: &str, version: u64, phase: &str) -> Value {
        self.reported_where(&format!("{function} v{version} {phase}"), |r| {
            let f = &r["functions"][function];
            f["version"] == version && f["phase"] == phase
        })
    }

    /// Waits until a function is reported with a last error, and returns it as text.
    pub fn last_error(&self, function: &str) -> String {
        let shown = |r: &Value| match &r["functions"][function]["lastError"] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let report = self.reported_where(&format!("a last error of {function}"), |r| shown(r).is_some());
        shown(&report).unwrap_or_default()
    }

    /// Waits for a heartbeat, past or to come, that `wanted` accepts.
    pub fn heartbeat_where(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_after(0, &self.topic("heartbeat", ""), what, |m| wanted(&m.json())).json()
    }

    /// Waits until there are `count` telemetry messages of a function, and returns them.
    pub fn telemetry(&self, function: &str, count: usize) -> Vec<Message> {
        let topic = self.topic("telemetry", &format!("/{function}"));
        let mut seen = 0;
        self.messages.wait(0, DEADLINE, &format!("{count} messages on {topic}"), |m| {
            seen += usize::from(m.topic == topic);
            (seen >= count).then_some(())
        });
        self.received(&topic)
    }

    /// The last `online` or `offline`; empty before the first.
    pub fn status(&self) -> String {
        self.received(&self.topic("status", "")).last().map(Message::text).unwrap_or_default()
    }

    /// Waits for `online` or `offline` after `mark`.
    pub fn status_after(&self, mark: usize, wanted: &str) {
        self.wait_after(mark, &self.topic("status", ""), wanted, |m| m.payload == wanted.as_bytes());
    }

    /// How often the subscription has been made: a mark for `subscribed_since`.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.mark()
    }

    /// Waits for a subscription made after the mark, such as the one after a restart of the broker.
    pub fn subscribed_since(&self, mark: usize) {
        self.subscriptions.wait(mark, DEADLINE, "the hub's subscription", |()| Some(()));
    }

    fn follow(&self, mut connection: Connection) -> JoinHandle<()> {
        let (client, messages) = (self.client.clone(), self.messages.clone());
        let (subscriptions, done) = (self.subscriptions.clone(), Arc::clone(&self.done));
        let run = move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe("edge/#", QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => subscriptions.push(()),
                    Ok(Event::Incoming(Packet::Publish(p))) => messages.push(Message {
                        topic: p.topic,
                        payload: p.payload.to_vec(),
                        retained: p.retain,
                    }),
                    Ok(_) => {}
                    Err(_) if done.load(Ordering::SeqCst) => return,
                    // Not a wait for anything: only so that a broker that is away is not hammered.
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        };
        std::thread::Builder::new().name("hub".to_owned()).spawn(run).unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        self.client.try_disconnect().ok();
        // Joined by nobody: if the broker is gone first, the thread ends at its next failing connect.
        drop(self.thread.take());
    }
}
