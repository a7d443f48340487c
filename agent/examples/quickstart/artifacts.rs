//! An HTTP server for the sample modules.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tiny_http::{Response, Server};

/// A running server; it ends with the program.
pub struct ArtifactServer {
    /// Its base URL.
    pub url: String,
    digests: BTreeMap<String, String>,
}

impl ArtifactServer {
    /// Serves the `.wasm` files of a folder under their names.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.insert(name, std::fs::read(&path)?);
            }
        }
        let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let digests = files.iter().map(|(name, bytes)| (name.clone(), digest(bytes))).collect();
        let server = Server::http("127.0.0.1:0").map_err(|e| anyhow::anyhow!("{e}"))?;
        let address = server.server_addr().to_ip().context("an IP address")?;
        thread::Builder::new().name("artifacts".into()).spawn(move || serve(&server, &files))?;
        Ok(Self { url: format!("http://{address}"), digests })
    }

    /// A file's digest.
    pub fn sha256(&self, name: &str) -> anyhow::Result<&str> {
        self.digests.get(name).map(String::as_str).with_context(|| format!("there is no {name}"))
    }
}

fn serve(server: &Server, files: &BTreeMap<String, Vec<u8>>) {
    for request in server.incoming_requests() {
        let answered = match files.get(request.url().trim_start_matches('/')) {
            Some(bytes) => request.respond(Response::from_data(bytes.as_slice())),
            None => request.respond(Response::empty(404)),
        };
        if let Err(error) = answered {
            eprintln!("the artifact server: {error}");
        }
    }
}
