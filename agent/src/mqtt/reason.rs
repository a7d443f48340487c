//! Says why a connection ended, in words for a log; knows nothing of what is done about it.

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{ConnectReturnCode, ConnectionError, StateError, TlsError};
use rustls::{AlertDescription, CertificateError, Error as Tls};

const CLOSED: &str = "the broker closed the connection";

/// One line that a stranger understands.
pub(super) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::NetworkTimeout => "the broker did not answer in time".to_owned(),
        ConnectionError::FlushTimeout => "the network took too long to send".to_owned(),
        ConnectionError::Io(error) | ConnectionError::Tls(TlsError::Io(error)) => explain_io(error),
        ConnectionError::Tls(TlsError::TLS(error)) => explain_tls(error),
        ConnectionError::Tls(TlsError::DNSName(_)) => {
            "the broker's host is not a name that a certificate can carry".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("the broker refused: {}", refusal(*code)),
        ConnectionError::NotConnAck(_) => "the broker did not answer CONNECT with CONNACK".to_owned(),
        ConnectionError::MqttState(error) => explain_state(error),
        other => other.to_string(),
    }
}

fn explain_state(error: &StateError) -> String {
    match error {
        StateError::ConnectionAborted => CLOSED.to_owned(),
        StateError::AwaitPingResp => "the broker did not answer a keep-alive ping".to_owned(),
        StateError::CollisionTimeout => "the broker left a message unacknowledged for too long".to_owned(),
        StateError::Io(error) | StateError::Deserialization(PacketError::Io(error)) => explain_io(error),
        StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(bytes)) => {
            format!("a message of {bytes} bytes is too large to receive")
        }
        StateError::Deserialization(error) => format!("a packet cannot be read: {error}"),
        other => other.to_string(),
    }
}

/// As [`explain`], for what comes from the socket.
pub(super) fn explain_io(error: &std::io::Error) -> String {
    // rustls says it with a link to its manual.
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return CLOSED.to_owned();
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(error) => explain_tls(error),
        None => error.to_string(),
    }
}

/// What is wrong with whose certificate.
pub(super) fn explain_tls(error: &Tls) -> String {
    use CertificateError as Bad;
    match error {
        Tls::InvalidCertificate(Bad::UnknownIssuer) => {
            "the broker's certificate is of an authority that is not trusted here (mqtt_ca_file)".to_owned()
        }
        Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the broker's certificate has expired, or this clock is wrong".to_owned()
        }
        Tls::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the broker's certificate is not valid yet, or this clock is wrong".to_owned()
        }
        Tls::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the broker's certificate is for another host name than the one in the broker's URL".to_owned()
        }
        Tls::InvalidCertificate(other) => format!("the broker's certificate can not be used: {other}"),
        Tls::AlertReceived(AlertDescription::CertificateRequired) => {
            "the broker wants a client certificate (mqtt_cert_file, mqtt_key_file)".to_owned()
        }
        Tls::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired),
        ) => format!("the broker does not accept this client's certificate (alert {alert:?})"),
        Tls::AlertReceived(alert) => format!("the broker ended TLS with the alert {alert:?}"),
        Tls::InvalidMessage(_) => {
            "what answers there does not speak TLS (mqtt:// instead of mqtts://?)".to_owned()
        }
        other => other.to_string(),
    }
}

fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::Success => "no reason given",
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "it does not accept the client id",
        ConnectReturnCode::ServiceUnavailable => "service unavailable",
        ConnectReturnCode::BadUserNamePassword => "bad user name or password",
        ConnectReturnCode::NotAuthorized => "not authorized (user name, password or certificate)",
    }
}

/// Whether an incoming packet ended the connection, and would again: it is above the limit or malformed.
pub(super) fn is_poison(error: &ConnectionError) -> bool {
    let ConnectionError::MqttState(StateError::Deserialization(error)) = error else { return false };
    !matches!(error, PacketError::Io(_) | PacketError::OutgoingPacketTooLarge { .. })
}
