//! Opens the doors that requests come by, and holds what SIGHUP changes of them. Knows nothing of what they answer.

use std::io;
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
use crate::http::public::{self, Access, Door, Rules, Tls};
use crate::metrics::Metrics;
use crate::store::Store;

/// Why the agent can not start as it is configured: the settings, and what is wrong with the files that they name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(pub(super) String);

/// What stands at the public door, from files: who may do what, and the certificate.
pub(super) struct Guard {
    #[cfg(feature = "public-door")]
    rules: Option<Rules>,
    #[cfg(feature = "public-door")]
    tls: Option<Tls>,
}

/// The open doors.
pub(super) struct Doors {
    pub(super) address: Option<SocketAddr>,
    pub(super) public: Option<JoinHandle<()>>,
    pub(super) local: Vec<LocalDoor>,
    pub(super) guarded: Guarded,
}

/// The guard on duty, whom SIGHUP has read the files anew.
pub(super) struct Guarded {
    #[cfg(feature = "public-door")]
    access: Arc<Access>,
    #[cfg(feature = "public-door")]
    tls: Option<Arc<Tls>>,
}

#[cfg(feature = "public-door")]
impl Guard {
    /// Reads the files, before anything starts; all that is wrong is told.
    pub(super) fn read(config: &Config) -> Result<Self, Unusable> {
        let pair = config.http.tls.as_ref();
        let tls = pair.map(|(cert, key)| Tls::read(cert, key)).transpose().map_err(|error| error.to_string());
        match (rules(config), tls) {
            (Ok(rules), Ok(tls)) => Ok(Self { rules, tls }),
            (rules, tls) => {
                let told: Vec<String> = rules.err().into_iter().chain(tls.err()).collect();
                Err(Unusable(told.join("; ")))
            }
        }
    }
}

#[cfg(feature = "public-door")]
fn rules(config: &Config) -> Result<Option<Rules>, String> {
    let file = config.api.keys_file.as_deref();
    let told = |error, file: &std::path::Path| format!("api_keys_file, {}: {error}", file.display());
    file.map(|file| Rules::read(file).map_err(|error| told(error, file))).transpose()
}

#[cfg(not(feature = "public-door"))]
impl Guard {
    /// A build without the public door guards none: who asks for it is not to think that it does.
    pub(super) fn read(config: &Config) -> Result<Self, Unusable> {
        let asked = [
            ("api_keys_file", config.api.keys_file.is_some()),
            ("http_tls_cert_file", config.http.tls.is_some()),
        ];
        match asked.into_iter().find(|(_, asked)| *asked) {
            None => Ok(Self {}),
            Some((key, _)) => {
                Err(Unusable(format!("{key}: this build has no public door, and so no use for it")))
            }
        }
    }
}

#[cfg(feature = "public-door")]
impl Guarded {
    /// Reads the files anew, for requests and connections from now on. What is wrong is logged and changes nothing.
    pub(super) fn reload(&self, config: &Config) {
        match rules(config) {
            Ok(rules) => self.access.set(rules),
            Err(error) => log::error!("the keys of before stay: {error}"),
        }
        match (&self.tls, &config.http.tls) {
            (Some(tls), Some((cert, key))) => {
                if let Err(error) = tls.reload(cert, key) {
                    log::error!("the certificate of before stays: {error}");
                }
            }
            (None, None) => {}
            _ => log::warn!("http_tls_cert_file: going over between HTTP and HTTPS waits for a restart"),
        }
    }
}

#[cfg(not(feature = "public-door"))]
impl Guarded {
    pub(super) fn reload(&self, config: &Config) {
        if let Err(error) = Guard::read(config) {
            log::error!("{error}");
        }
    }
}

/// Records of the database may be lost: who may come in must not depend on them.
#[cfg(feature = "public-door")]
pub(super) fn store_lost(store: &Arc<Store>) {
    if let Err(error) = Access::store_lost(store) {
        log::error!("noting that used nonces are lost: {error}");
    }
}

/// Nobody signs where there is no public door.
#[cfg(not(feature = "public-door"))]
pub(super) fn store_lost(_: &Arc<Store>) {}

/// Opens both doors, or where this build has no public one, the local one and a loopback address.
pub(super) fn open_doors(
    config: &Config,
    handle: &Handle,
    service: &Arc<Service>,
    (guard, store, metrics): (Guard, &Arc<Store>, &Arc<Metrics>),
    stop: watch::Receiver<bool>,
) -> anyhow::Result<Doors> {
    let max_body = config.http.max_body_bytes;
    let socket = &config.local_socket;
    let local = match LocalDoor::open(socket, service.clone(), max_body) {
        Ok(door) => vec![door],
        // A device whose disk can not be written to is to serve all the same.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            log::error!("the local socket {}: {error}; the agent goes on without", socket.display());
            Vec::new()
        }
        Err(error) => {
            return Err(error).with_context(|| format!("the local socket {}", socket.display()));
        }
    };
    let listen = config.http.listen;
    #[cfg(feature = "public-door")]
    {
        let listener = handle
            .block_on(tokio::net::TcpListener::bind(listen))
            .with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let access = Arc::new(Access::new(guard.rules, store, metrics.clone()));
        let guarded = Guarded { access: access.clone(), tls: guard.tls.map(Arc::new) };
        let tls = guarded.tls.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let door = Arc::new(Door { service: service.clone(), limits: config.http.clone(), access, tls });
        let public = handle.spawn(public::serve(listener, door, stop));
        log::info!("listening on {scheme}://{address} and {}", socket.display());
        Ok(Doors { address: Some(address), public: Some(public), local, guarded })
    }
    #[cfg(not(feature = "public-door"))]
    {
        drop((handle, stop, guard, store, metrics));
        let loopback = LocalDoor::open_loopback(listen, socket, service.clone(), max_body)
            .with_context(|| format!("listening on {listen}"))?;
        let address = loopback.address();
        log::info!("listening on http://{} and {}", address.unwrap_or(listen), socket.display());
        let local = local.into_iter().chain([loopback]).collect();
        Ok(Doors { address, public: None, local, guarded: Guarded {} })
    }
}
