//! The address of the public door.

use std::io;
use std::net::TcpListener;

use super::Given;
use super::finding::Finding;

const NAME: &str = "listen address";

/// Binds it for a moment, unless a running agent has it.
pub(super) fn check(given: &Given) -> Vec<Finding> {
    let address = given.config.http.listen;
    if cfg!(not(feature = "public-door")) && !address.ip().is_loopback() {
        let why = "this build has no public door, and listens on loopback only: set listen_addr to 127.0.0.1";
        return vec![Finding::wrong(NAME, format!("{address}: {why}"))];
    }
    vec![match TcpListener::bind(address) {
        Ok(_) => Finding::ok(NAME, format!("{address} is free")),
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse if given.running => {
                Finding::ok(NAME, format!("{address} is in use, as it should be while the agent runs"))
            }
            io::ErrorKind::AddrInUse => {
                Finding::wrong(NAME, format!("{address} is in use by another program"))
            }
            io::ErrorKind::PermissionDenied => {
                let how = "a port below 1024 needs CAP_NET_BIND_SERVICE";
                Finding::wrong(NAME, format!("{address}: not permitted; {how}"))
            }
            _ => Finding::wrong(NAME, format!("{address}: {error}")),
        },
    }]
}
