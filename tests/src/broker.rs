//! A broker for one test: mosquitto as a process of its own, or rumqttd inside this one; knows nothing of twinlet.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::certs::{Certs, Pair, readable};
use crate::wait::eventually;

/// The user name and the password that [`Broker::with_password`] lets in.
pub const LOGIN: (&str, &str) = ("node", "correct horse");

/// True if mosquitto is installed. If it is not, says loudly that the calling test is left out; the test then returns.
#[must_use]
pub fn needs_mosquitto() -> bool {
    let found = mosquitto().is_some();
    if !found {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!(
            "*** LEFT OUT: {test} needs mosquitto, which is not installed (apt-get install mosquitto) ***"
        );
    }
    found
}

/// A running broker. The hub comes in by a plain door of its own, so that the agent's door can be as strict as the
/// test wants.
#[derive(Debug)]
pub struct Broker {
    scheme: &'static str,
    /// The agent's door.
    port: u16,
    /// The hub's door; the same as the agent's where that is open to all.
    hub_port: u16,
    process: Option<Mosquitto>,
}

impl Broker {
    /// Open to all. Mosquitto, or rumqttd where mosquitto is missing.
    pub fn plain() -> Self {
        if mosquitto().is_some() { Self::start("mqtt", |_| String::new()) } else { Self::embedded() }
    }

    /// Wants [`LOGIN`].
    pub fn with_password() -> Self {
        Self::start("mqtt", |dir| {
            let file = dir.join("passwords");
            let made = Command::new(beside("mosquitto_passwd"))
                .args(["-b", "-c"])
                .arg(&file)
                .args([LOGIN.0, LOGIN.1])
                .status();
            assert!(made.unwrap().success(), "mosquitto_passwd failed");
            readable(&file, 0o644);
            format!("allow_anonymous false\npassword_file {}\n", file.display())
        })
    }

    /// TLS 1.3 with the server certificate of `certs`.
    pub fn tls(certs: &Certs) -> Self {
        Self::start("mqtts", |_| tls_lines(&certs.server))
    }

    /// TLS 1.3, and the client must show a certificate of the same authority.
    pub fn mutual_tls(certs: &Certs) -> Self {
        Self::start("mqtts", |_| {
            format!("{}require_certificate true\ncafile {}\n", tls_lines(&certs.server), certs.ca.display())
        })
    }

    /// TLS 1.3 with a server certificate whose time is over.
    pub fn expired(certs: &Certs) -> Self {
        Self::start("mqtts", |_| tls_lines(&certs.expired))
    }

    /// rumqttd in this process; it can not be stopped, and knows neither TLS nor passwords.
    pub fn embedded() -> Self {
        let port = free_port();
        let settings = rumqttd::ServerSettings {
            name: "test".to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: None,
            next_connection_delay_ms: 1,
            connections: rumqttd::ConnectionSettings {
                connection_timeout_ms: 5000,
                max_payload_size: 64 << 20,
                max_inflight_count: 100,
                auth: None,
                external_auth: None,
                dynamic_filters: true,
            },
        };
        let config = rumqttd::Config {
            v4: Some([("test".to_owned(), settings)].into()),
            router: rumqttd::RouterConfig {
                max_connections: 100,
                max_outgoing_packet_count: 200,
                max_segment_size: 16 << 20,
                max_segment_count: 10,
                ..Default::default()
            },
            ..Default::default()
        };
        std::thread::Builder::new()
            .name("rumqttd".to_owned())
            .spawn(move || rumqttd::Broker::new(config).start().expect("the embedded broker"))
            .unwrap();
        let broker = Self { scheme: "mqtt", port, hub_port: port, process: None };
        broker.await_open();
        broker
    }

    /// What goes into `MQTT_BROKER`. TLS brokers are called by the name in their certificate.
    pub fn url(&self) -> String {
        let host = if self.scheme == "mqtts" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}", self.scheme, self.port)
    }

    /// The port of the hub's plain door, on 127.0.0.1.
    pub fn hub_port(&self) -> u16 {
        self.hub_port
    }

    /// What mosquitto wrote; for a test that failed, or that looks for refused connections.
    pub fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, |p| {
            String::from_utf8_lossy(&std::fs::read(p.log()).unwrap_or_default()).into_owned()
        })
    }

    /// Takes the broker away, as a power cut would: sessions and retained messages are gone with it.
    pub fn stop(&mut self) {
        self.process.as_mut().expect("the embedded broker can not be stopped").stop();
    }

    /// Stops the broker if it runs, and starts it anew on the same ports.
    pub fn restart(&mut self) {
        let process = self.process.as_mut().expect("the embedded broker can not be restarted");
        process.stop();
        process.start();
        self.await_open();
    }

    fn start(scheme: &'static str, guard: impl Fn(&Path) -> String) -> Self {
        let dir = tempfile::Builder::new().prefix("twinlet-broker-").tempdir().unwrap();
        readable(dir.path(), 0o777);
        let guard = guard(dir.path());
        // A port found free may be taken before mosquitto binds it; then try others.
        for _ in 0..5 {
            let port = free_port();
            let hub_port = if guard.is_empty() { port } else { free_port() };
            write_config(dir.path(), port, hub_port, &guard);
            let mut process = Mosquitto { dir: dir.path().to_owned(), child: None, _keep: None };
            process.start();
            let mut broker = Self { scheme, port, hub_port, process: Some(process) };
            if broker.opens() {
                broker.process.as_mut().unwrap()._keep = Some(dir);
                return broker;
            }
        }
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("mosquitto does not start:\n{log}");
    }

    fn await_open(&self) {
        eventually("the broker to listen", || TcpStream::connect(("127.0.0.1", self.hub_port)).ok());
    }

    /// Waits until mosquitto listens (true) or is gone again (false).
    fn opens(&mut self) -> bool {
        let port = self.hub_port;
        let child = self.process.as_mut().unwrap().child.as_mut().unwrap();
        eventually("mosquitto to listen or to give up", || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true)
        })
    }
}

#[derive(Debug)]
struct Mosquitto {
    dir: PathBuf,
    child: Option<Child>,
    _keep: Option<TempDir>,
}

impl Mosquitto {
    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new(mosquitto().expect("mosquitto is not installed"))
            .arg("-c")
            .arg(self.dir.join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be gone already, which is as good.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_config(dir: &Path, port: u16, hub_port: u16, guard: &str) {
    let mut text = String::from("per_listener_settings true\nuser root\npersistence false\nlog_type all\n");
    // A hub that is slow for a moment misses nothing; otherwise mosquitto drops what it can not hold.
    text.push_str("max_queued_messages 0\n");
    writeln!(text, "log_dest stderr\nlistener {hub_port} 127.0.0.1\nallow_anonymous true").unwrap();
    if !guard.is_empty() {
        writeln!(text, "listener {port} 127.0.0.1\n{guard}").unwrap();
    }
    std::fs::write(dir.join("mosquitto.conf"), text).unwrap();
}

fn tls_lines(server: &Pair) -> String {
    format!(
        "allow_anonymous true\ntls_version tlsv1.3\ncertfile {}\nkeyfile {}\n",
        server.cert.display(),
        server.key.display()
    )
}

/// Debian puts it into /usr/sbin, which is not on everyone's path.
fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from))
        .map(|dir| dir.join("mosquitto"))
        .find(|file| file.is_file())
}

/// A tool of mosquitto's package, by path where it is known and by name otherwise.
fn beside(tool: &str) -> PathBuf {
    let usual = Path::new("/usr/bin").join(tool);
    if usual.is_file() { usual } else { PathBuf::from(tool) }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
