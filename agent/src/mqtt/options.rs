//! Turns the settings into rumqttc's options; knows nothing of when or how often one connects.

use std::time::Duration;

use rumqttc::{LastWill, MqttOptions, NetworkOptions, QoS, TlsConfiguration, Transport};

use super::tls::{self, TlsError};
use super::topics::Topics;
use crate::config::{Mqtt, NodeId};

/// Largest payload that is sent. A larger one is dropped with a line in the log, since rumqttc would end the
/// connection over it.
pub(super) const MAX_OUTGOING: usize = 1024 * 1024;
/// Slots of the request queue; see `session::ROOM`.
pub(super) const REQUESTS: usize = 128;
/// Least limit on incoming packets. Far above any message that is accepted, because a packet above it costs the
/// connection, and one below it only the message.
const MIN_INCOMING: usize = 8 * 1024 * 1024;
/// For connecting (TCP, TLS and CONNACK together) and for every flush. rumqttc's 5 s are too short for a reported
/// state of 100 KB on a link of 40 kbit/s.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(30);

/// Payload of the status topic while connected.
pub(super) const ONLINE: &str = "online";
/// Payload of the status topic after a goodbye, and as last will.
pub(super) const OFFLINE: &str = "offline";

/// The agent's own connection. Reads the certificate files anew at each call, on a blocking thread.
pub(super) async fn build(settings: &Mqtt, node: &NodeId, topics: &Topics) -> Result<MqttOptions, TlsError> {
    let mut options = client(settings, format!("twinlet-{node}")).await?;
    options.set_manual_acks(true).set_last_will(LastWill::new(
        topics.status(),
        OFFLINE,
        QoS::AtLeastOnce,
        true,
    ));
    Ok(options)
}

/// What every connection with these settings has, whoever makes it.
pub(super) async fn client(settings: &Mqtt, id: String) -> Result<MqttOptions, TlsError> {
    // An IPv6 address goes in bare: rumqttc appends ":port", which resolves, and rustls takes the address as it is.
    let mut options = MqttOptions::new(id, bare(&settings.host), settings.port);
    if settings.tls {
        let settings = settings.clone();
        let config = tokio::task::spawn_blocking(move || tls::client_config(&settings)).await;
        // The task only fails when it panics or the runtime stops; both read as "not now".
        let config =
            config.map_err(|error| TlsError::Provider(rustls::Error::General(error.to_string())))??;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    if let Some(username) = &settings.username {
        let password = settings.password.as_ref().map(|password| password.reveal()).unwrap_or_default();
        options.set_credentials(username, password);
    }
    // rumqttc panics below one second, and the protocol counts in 16 bits.
    let keep_alive = settings.keep_alive.clamp(Duration::from_secs(1), Duration::from_secs(u16::MAX.into()));
    let incoming = settings.max_message_bytes.saturating_mul(4).max(MIN_INCOMING);
    options
        .set_keep_alive(keep_alive)
        .set_clean_session(true)
        .set_max_packet_size(incoming, MAX_OUTGOING + 64 * 1024);
    Ok(options)
}

/// Socket options; kept by the event loop beside the MQTT options.
pub(super) fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(NETWORK_TIMEOUT.as_secs());
    network
}

/// The broker as a person writes it, without credentials.
pub(super) fn broker(settings: &Mqtt) -> String {
    let scheme = if settings.tls { "mqtts" } else { "mqtt" };
    let host = bare(&settings.host);
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}:{}", settings.port)
}

/// The host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}
