//! Why a request got no response, before it is put into the words of one interface or the other.

use std::io::ErrorKind;

use super::resolver::Unresolved;

/// Why a request got no response. The texts say which.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No pattern covers the URL.
    #[error("{0}")]
    NotCovered(String),
    /// The host stands for an address that no pattern names outright.
    #[error("{0}")]
    ForbiddenAddress(String),
    /// The request is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The name did not resolve.
    #[error("{0}")]
    Unresolved(String),
    /// The host refused the connection.
    #[error("{0}")]
    Refused(String),
    /// There is no way to the host.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// The peer's certificate did not verify.
    #[error("{0}")]
    Certificate(String),
    /// TLS went wrong in another way.
    #[error("{0}")]
    Tls(String),
    /// The peer does not speak HTTP as it should.
    #[error("{0}")]
    Protocol(String),
    /// It took too long to get past this.
    #[error("timed out: {0:?}")]
    Late(Phase),
    /// Too much is under way already.
    #[error("{0}")]
    Busy(String),
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// To resolve the name.
    Resolve,
    /// To connect.
    Connect,
    /// To send the request.
    Send,
    /// To receive the response's head, or all of it.
    Response,
    /// To receive the response's body.
    Body,
}

impl From<ureq::Timeout> for Phase {
    fn from(of: ureq::Timeout) -> Self {
        match of {
            ureq::Timeout::Resolve => Phase::Resolve,
            ureq::Timeout::Connect => Phase::Connect,
            ureq::Timeout::SendRequest | ureq::Timeout::Await100 | ureq::Timeout::SendBody => Phase::Send,
            ureq::Timeout::RecvBody => Phase::Body,
            _ => Phase::Response,
        }
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(of) => Failure::Late(of.into()),
            ureq::Error::Other(why) => match why.downcast_ref() {
                Some(Unresolved::Refused { .. }) => Failure::ForbiddenAddress(why.to_string()),
                Some(Unresolved::Busy) => Failure::Busy(why.to_string()),
                Some(Unresolved::Unknown { .. }) => Failure::Unresolved(why.to_string()),
                None => Failure::Unreachable(why.to_string()),
            },
            ureq::Error::HostNotFound => Failure::Unresolved("the name has no address".into()),
            ureq::Error::Io(e) => e.into(),
            ureq::Error::Rustls(e) => of_tls(&e),
            ureq::Error::Tls(what) => Failure::Tls(what.into()),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::Malformed(error.to_string()),
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                Failure::Protocol(error.to_string())
            }
            other => Failure::Unreachable(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return of_tls(tls);
        }
        match error.kind() {
            ErrorKind::TimedOut => Failure::Late(Phase::Connect),
            ErrorKind::ConnectionRefused => Failure::Refused(error.to_string()),
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => Failure::Broken(error.to_string()),
            _ => match error.downcast::<ureq::Error>() {
                Ok(inner) => inner.into(),
                Err(error) => Failure::Unreachable(error.to_string()),
            },
        }
    }
}

fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(_) => Failure::Certificate(error.to_string()),
        _ => Failure::Tls(error.to_string()),
    }
}
