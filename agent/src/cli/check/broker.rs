//! The way to the broker, step by step: the first step that fails ends it, and names what is wrong. The client id is
//! another than the agent's, which would lose its connection.

use std::time::{Duration, Instant};

use super::finding::{Finding, Report};
use super::{DEADLINE, in_time};
use crate::config::{Config, NodeId};
use crate::mqtt::{Operator, OperatorError, probe};

const NAME: &str = "broker name";
const TCP: &str = "broker TCP";
const TLS: &str = "broker TLS";
const CONNECT: &str = "broker CONNECT";
/// What a step has, a little less than the whole check, so that it can say itself what took too long.
const STEP: Duration = Duration::from_millis(4_500);

pub(super) fn check(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let broker = probe::broker(&config.mqtt);
    let settings = config.mqtt.clone();
    let addresses = match in_time(move || probe::look_up(&settings)) {
        Ok(addresses) => addresses,
        Err(why) => return report.add(Finding::wrong(NAME, format!("{broker}: {why}"))),
    };
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.add(Finding::ok(NAME, format!("{broker} is at {}", shown.join(", "))))?;

    let stream = match in_time(move || probe::reach(&addresses, Instant::now() + STEP)) {
        Ok(stream) => stream,
        Err(why) => return report.add(Finding::wrong(TCP, why)),
    };
    let peer = stream.peer_addr().map_or_else(|_| String::new(), |peer| peer.to_string());
    report.add(Finding::ok(TCP, format!("{peer} takes connections")))?;

    if config.mqtt.tls {
        let settings = config.mqtt.clone();
        match in_time(move || probe::shake_hands(&settings, stream, Instant::now() + STEP)) {
            Ok(agreed) => {
                report.add(Finding::ok(TLS, format!("{agreed}, and its certificate is trusted")))?
            }
            Err(why) => return report.add(Finding::wrong(TLS, why)),
        }
    }
    let settings = config.mqtt.clone();
    let node: NodeId = match &config.node_id {
        Some(node) => node.clone(),
        // It names no topic here.
        None => "check".parse()?,
    };
    let connected = in_time(move || match Operator::connect(&settings, &node, "check", STEP) {
        Ok(_) => Ok("it lets this node in".to_owned()),
        Err(OperatorError::Connect { why, .. }) => Err(why),
        Err(error) => Err(error.to_string()),
    });
    debug_assert!(STEP < DEADLINE);
    report.add(Finding::of(CONNECT, connected))
}
