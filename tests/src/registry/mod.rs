//! A real OCI registry for one test: Debian's `docker-registry` as a process of its own, open to all, behind a password,
//! or behind tokens that it checks. Knows nothing of twinlet.

mod tokens;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artifacts::{Artifact, sha256};
use crate::broker::free_port;
use crate::wait::eventually;
use tokens::Tokens;

/// The user and the password that a registry with either lets in.
pub const LOGIN: (&str, &str) = ("device", "correct horse");
/// The password's bcrypt, as htpasswd writes it.
const HTPASSWD: &str = "device:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// True if docker-registry is installed. If it is not, says loudly that the calling test is left out; the test then
/// returns.
#[must_use]
pub fn needs_registry() -> bool {
    let found = program().is_some();
    if !found {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!(
            "*** LEFT OUT: {test} needs docker-registry, which is not installed (apt-get install docker-registry) ***"
        );
    }
    found
}

/// A running registry; ends when dropped.
pub struct Registry {
    port: u16,
    dir: TempDir,
    child: Child,
    guard: Guard,
}

enum Guard {
    None,
    Password,
    Tokens(Tokens),
}

impl Registry {
    /// Open to all.
    pub fn open() -> Self {
        Self::start(Guard::None)
    }

    /// Wants [`LOGIN`].
    pub fn with_password() -> Self {
        Self::start(Guard::Password)
    }

    /// Wants a token that names the repository, signed by a server that gives one to [`LOGIN`] alone.
    pub fn with_tokens() -> Self {
        Self::start(Guard::Tokens(Tokens::start()))
    }

    /// Host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many tokens were given out, if it wants any.
    pub fn tokens_given(&self) -> usize {
        match &self.guard {
            Guard::Tokens(tokens) => tokens.given(),
            _ => 0,
        }
    }

    /// Pushes a component as the CNCF's layout has it.
    pub fn push(&self, name: &str, tag: &str, component: &[u8]) -> Artifact {
        let layer = self.push_blob(name, component);
        let config = self.push_blob(name, b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": config, "size": 2 },
            "layers": [{ "mediaType": "application/wasm", "digest": layer, "size": component.len() }],
        });
        self.push_manifest(name, tag, &manifest);
        Artifact {
            url: format!("oci://{}/{name}:{tag}", self.host()),
            sha256: sha256(component),
            size: component.len(),
        }
    }

    /// Pushes a blob, and returns its digest as manifests have it.
    pub fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", sha256(bytes));
        let begin = ureq::post(format!("{}/v2/{name}/blobs/uploads/", self.base()));
        let begun = begin.header("authorization", self.pusher(name)).send_empty().unwrap();
        let to = begun.headers()["location"].to_str().unwrap().to_owned();
        let put = ureq::put(format!("{to}&digest={digest}")).header("authorization", self.pusher(name));
        put.content_type("application/octet-stream").send(bytes).unwrap();
        digest
    }

    /// Pushes a manifest, and returns its digest.
    pub fn push_manifest(&self, name: &str, tag: &str, manifest: &Value) -> String {
        let text = manifest.to_string();
        let put = ureq::put(format!("{}/v2/{name}/manifests/{tag}", self.base()));
        let put = put.header("authorization", self.pusher(name)).content_type(MANIFEST);
        put.send(text.as_bytes()).unwrap();
        format!("sha256:{}", sha256(text.as_bytes()))
    }

    fn base(&self) -> String {
        format!("http://{}", self.host())
    }

    fn pusher(&self, name: &str) -> String {
        match &self.guard {
            Guard::Tokens(tokens) => format!("Bearer {}", tokens.token(name, &["pull", "push"])),
            // A registry that is open to all does not look at it.
            _ => basic(),
        }
    }

    fn start(guard: Guard) -> Self {
        let dir = tempfile::Builder::new().prefix("twinlet-registry-").tempdir().unwrap();
        let auth = match &guard {
            Guard::None => Value::Null,
            Guard::Password => {
                let file = dir.path().join("htpasswd");
                std::fs::write(&file, HTPASSWD).unwrap();
                json!({ "htpasswd": { "realm": "test", "path": file } })
            }
            Guard::Tokens(tokens) => {
                let file = dir.path().join("tokens.pem");
                std::fs::write(&file, tokens.certificate()).unwrap();
                json!({ "token": { "realm": tokens.realm(), "service": tokens::SERVICE,
                                   "issuer": tokens::ISSUER, "rootcertbundle": file } })
            }
        };
        // A port found free may be taken before the registry binds it; then try others.
        for _ in 0..5 {
            let port = free_port();
            let mut child = run(dir.path(), port, &auth);
            if opens(&mut child, port) {
                return Self { port, dir, child, guard };
            }
        }
        panic!("docker-registry does not start:\n{}", log_of(dir.path()));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- the registry's log ---\n{}", log_of(self.dir.path()));
        }
    }
}

/// [`LOGIN`] as it is sent.
fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", LOGIN.0, LOGIN.1)))
}

fn run(dir: &Path, port: u16, auth: &Value) -> Child {
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "info" },
        "storage": { "filesystem": { "rootdirectory": dir.join("blobs") } },
        "http": { "addr": format!("127.0.0.1:{port}") },
    });
    if !auth.is_null() {
        config["auth"] = auth.clone();
    }
    // YAML reads JSON.
    std::fs::write(dir.join("config.yml"), config.to_string()).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new(program().expect("docker-registry is not installed"));
    command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// Waits until the registry listens (true) or is gone again (false).
fn opens(child: &mut Child, port: u16) -> bool {
    eventually("docker-registry to listen or to give up", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
    })
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("docker-registry")).find(|file| file.is_file())
}
