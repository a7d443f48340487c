//! An operator at the broker: publishes desired state, and shows what the node says.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use crate::shown::{say, short};

/// How long any one thing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that hears everything the node says.
pub struct Operator {
    client: Client,
    node: String,
    heard: Receiver<(String, Vec<u8>)>,
}

impl Operator {
    /// Connects and subscribes.
    pub fn connect(broker_port: u16, node: &str) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new("operator", "127.0.0.1", broker_port);
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 16);
        client.subscribe("edge/#", QoS::AtLeastOnce)?;
        let (hear, heard) = mpsc::channel();
        thread::Builder::new().name("operator".into()).spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        if hear.send((publish.topic, publish.payload.to_vec())).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        eprintln!("the operator's connection: {error}");
                        return;
                    }
                }
            }
        })?;
        Ok(Self { client, node: node.to_owned(), heard })
    }

    /// Publishes a desired state, retained, so that the node finds it whenever it comes.
    pub fn publish_desired(&self, desired: &Value) -> anyhow::Result<()> {
        let topic = format!("edge/twin/{}/desired", self.node);
        Ok(self.client.publish(topic, QoS::AtLeastOnce, true, desired.to_string())?)
    }

    /// Waits until the node says that it is there.
    pub fn await_online(&self) -> anyhow::Result<()> {
        self.hear("status", |payload| (payload == b"online").then_some(()))
    }

    /// Waits until the node has said goodbye.
    pub fn await_offline(&self) -> anyhow::Result<()> {
        self.hear("status", |payload| (payload == b"offline").then_some(()))
    }

    /// Shows every reported state until these functions run.
    pub fn await_running(&self, functions: &[&str]) -> anyhow::Result<()> {
        self.hear("reported", |payload| {
            let reported: Value = serde_json::from_slice(payload).ok()?;
            let phase =
                |id: &&str| Some(reported.pointer(&format!("/functions/{id}/phase"))?.as_str()?.to_owned());
            let phases: Vec<String> =
                functions.iter().filter_map(|id| Some(format!("{id}: {}", phase(id)?))).collect();
            let code = reported.pointer("/lastDesiredStatus/code")?;
            let description = reported.pointer("/lastDesiredStatus/description")?.as_str()?;
            say(&format!("{:34} {code} {description}", phases.join(", ")));
            functions.iter().all(|id| phase(id).as_deref() == Some("running")).then_some(())
        })
    }

    /// Waits for a telemetry message of a function, and shows it.
    pub fn await_telemetry(&self, function: &str) -> anyhow::Result<Value> {
        self.hear(&format!("telemetry/{}/{function}", self.node), |payload| {
            say(&format!("edge/telemetry/{}/{function}  {}", self.node, short(payload)));
            serde_json::from_slice(payload).ok()
        })
    }

    /// Waits for a heartbeat, and shows it.
    pub fn await_heartbeat(&self, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        self.hear("heartbeat", |payload| {
            let beat: Value = serde_json::from_slice(payload).ok()?;
            wanted(&beat).then(|| say(&format!("edge/heartbeat/{}  {}", self.node, short(payload))))
        })
    }

    /// Takes messages whose topic has this part, until one of them is what is wanted.
    fn hear<T>(&self, part: &str, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> anyhow::Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let (topic, payload) = self
                .heard
                .recv_timeout(left)
                .with_context(|| format!("waiting for a message on …/{part}/…"))?;
            if topic.contains(part) {
                if let Some(found) = wanted(&payload) {
                    return Ok(found);
                }
            } else if until <= Instant::now() {
                bail!("no message on …/{part}/… within {} s", PATIENCE.as_secs());
            }
        }
    }
}
