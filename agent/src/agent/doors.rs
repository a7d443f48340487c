//! Opens the doors that requests come by. Knows nothing of what they answer.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::http::Service;
use crate::http::local::LocalDoor;
#[cfg(feature = "public-door")]
use crate::http::public::{self, Door};

/// The open doors.
pub(super) struct Doors {
    pub(super) address: Option<SocketAddr>,
    pub(super) public: Option<JoinHandle<()>>,
    pub(super) local: Vec<LocalDoor>,
}

/// Opens both doors, or where this build has no public one, the local one and a loopback address.
pub(super) fn open_doors(
    config: &Config,
    handle: &Handle,
    service: &Arc<Service>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Doors> {
    #[cfg(feature = "public-door")]
    let access = Arc::new(public::Access::default());
    let max_body = config.http.max_body_bytes;
    let socket = &config.local_socket;
    let local = LocalDoor::open(socket, service.clone(), max_body)
        .with_context(|| format!("the local socket {}", socket.display()))?;
    let listen = config.http.listen;
    #[cfg(feature = "public-door")]
    {
        let listener = handle
            .block_on(tokio::net::TcpListener::bind(listen))
            .with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let door = Arc::new(Door { service: service.clone(), limits: config.http.clone(), access });
        let public = handle.spawn(public::serve(listener, door, stop));
        log::info!("listening on http://{address} and {}", socket.display());
        Ok(Doors { address: Some(address), public: Some(public), local: vec![local] })
    }
    #[cfg(not(feature = "public-door"))]
    {
        drop((handle, stop));
        let loopback = LocalDoor::open_loopback(listen, socket, service.clone(), max_body)
            .with_context(|| format!("listening on {listen}"))?;
        let address = loopback.address();
        log::info!("listening on http://{} and {}", address.unwrap_or(listen), socket.display());
        Ok(Doors { address, public: None, local: vec![local, loopback] })
    }
}
