//! The process under test: started by its environment, watched by its log, its sockets and `/proc`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::broker::Broker;
use crate::certs::Pair;
use crate::http::{self, Request, Response};
use crate::metrics::Metrics;
use crate::wait::{DEADLINE, Journal, eventually, within};

/// What the agent logs before the address of its public door.
const LISTENING: &str = "listening on http";

/// Stands in the journal after the last line that the agent wrote.
const END: &str = "--- the agent has closed its log ---";

/// How many lines of its log an agent leaves behind when a test fails.
const TAIL: usize = 80;

/// An agent yet to be started: its binary, its state directory and its environment.
#[derive(Debug, Clone)]
pub struct AgentBuilder {
    binary: PathBuf,
    pub(crate) state: Arc<TempDir>,
    pub(crate) env: BTreeMap<String, String>,
    files: Option<u32>,
}

impl AgentBuilder {
    /// For the node `node-1`, with a state directory of its own that lives as long as any clone of this builder or any
    /// agent started by it. Without a broker it is given one that nobody listens on.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let state = Arc::new(tempfile::Builder::new().prefix("twinlet-state-").tempdir().unwrap());
        let socket = state.path().join("local.sock");
        let env = [
            ("NODE_ID", "node-1"),
            ("POP_ID", "test-pop"),
            ("LISTEN_ADDR", "127.0.0.1"),
            ("LISTEN_PORT", "0"),
            ("CACHE_DIR", state.path().to_str().unwrap()),
            ("LOCAL_SOCKET", socket.to_str().unwrap()),
            ("MQTT_BROKER", "mqtt://127.0.0.1:1"),
            ("LOG_LEVEL", "debug"),
        ];
        let env = env.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self { binary: binary.into(), state, env, files: None }
    }

    /// Sets a variable of its environment, which is otherwise empty but for `PATH` and `HOME`.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.env.insert(key.to_owned(), value.to_string());
        self
    }

    /// Lets it have so many files and sockets open, and no more.
    #[must_use]
    pub fn files(mut self, most: u32) -> Self {
        self.files = Some(most);
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        self.env.remove(key);
        self
    }

    /// Connects to this broker.
    #[must_use]
    pub fn with(self, broker: &Broker) -> Self {
        self.env("MQTT_BROKER", broker.url())
    }

    /// Trusts this authority for the broker, and no other.
    #[must_use]
    pub fn trusting(self, ca: &Path) -> Self {
        self.env("MQTT_CA_FILE", ca.display())
    }

    /// Shows this certificate to the broker.
    #[must_use]
    pub fn showing(self, client: &Pair) -> Self {
        self.env("MQTT_CERT_FILE", client.cert.display()).env("MQTT_KEY_FILE", client.key.display())
    }

    /// Logs in to the broker.
    #[must_use]
    pub fn login(self, (user, password): (&str, &str)) -> Self {
        self.env("MQTT_USERNAME", user).env("MQTT_PASSWORD", password)
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// Starts it, and returns when it listens.
    pub fn start(&self) -> Agent {
        let mut agent = self.spawn();
        assert!(agent.listens(), "the agent ended before it listened");
        agent
    }

    /// Starts it without waiting for anything, for a start that is to fail.
    pub fn spawn(&self) -> Agent {
        let inherited = ["PATH", "HOME", "LLVM_PROFILE_FILE"].map(|key| (key, std::env::var_os(key)));
        let mut command = Command::new(&self.binary);
        command
            .arg("run")
            .env_clear()
            .envs(inherited.into_iter().filter_map(|(key, value)| Some((key, value?))))
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(most) = self.files {
            let limit = libc::rlimit { rlim_cur: most.into(), rlim_max: most.into() };
            // SAFETY: the limit is read, and lives through the call.
            let set = move || match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            };
            // SAFETY: between fork and exec it makes one call to the system, which allocates nothing.
            unsafe { command.pre_exec(set) };
        }
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.binary.display()));
        let log = Journal::default();
        let (lines, entries) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        std::thread::Builder::new()
            .name("agent-log".to_owned())
            .spawn(move || {
                for line in lines.split(b'\n').map_while(Result::ok) {
                    entries.push(String::from_utf8_lossy(&line).into_owned());
                }
                entries.push(END.to_owned());
            })
            .unwrap();
        Agent { child, exit: None, log, address: String::new(), builder: self.clone() }
    }
}

/// A running agent. Dropping it kills it; if that happens because the test failed, it leaves the end of its log.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    exit: Option<ExitStatus>,
    log: Journal<String>,
    /// Where the public door listens: `127.0.0.1:PORT`.
    address: String,
    builder: AgentBuilder,
}

impl Agent {
    /// Waits until it listens (true) or has ended (false); for one that was only spawned.
    pub fn listens(&mut self) -> bool {
        let found = |line: &String| (line.contains(LISTENING) || line == END).then(|| line.clone());
        let line = self.log.wait(0, DEADLINE, "a log line: the address it listens on", found);
        let Some((_, listening)) = line.split_once(LISTENING) else { return false };
        let address = listening.split_once("://").unwrap().1;
        self.address = address.split_whitespace().next().unwrap_or_default().to_owned();
        true
    }

    /// Where the public door listens, as `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A URL on the public door.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A GET on the public door.
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path).send()
    }

    /// A POST on the public door.
    pub fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Response {
        self.request("POST", path).body(body).send()
    }

    /// Any request on the public door.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, &self.url(path))
    }

    /// Any bytes on the public door.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Response {
        http::raw(&self.address, bytes.as_ref())
    }

    /// A request on the local door.
    pub fn local(&self, method: &str, path: &str, body: &[u8]) -> Response {
        http::over_unix(&self.socket(), method, path, body).unwrap()
    }

    /// The path of the local door.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(&self.builder.env["LOCAL_SOCKET"])
    }

    /// Waits until a GET is answered with this status, and returns the answer.
    pub fn answers(&self, path: &str, status: u16) -> Response {
        let get = || self.request("GET", path).try_send().ok().filter(|r| r.status == status);
        eventually(&format!("{status} on {path}"), get)
    }

    /// Waits until a GET is answered with 200 and this body.
    pub fn says(&self, path: &str, body: &str) -> Response {
        let get = || self.request("GET", path).try_send().ok();
        let right = |r: &Response| r.status == 200 && r.text() == body;
        eventually(&format!("`{body}` on {path}"), || get().filter(right))
    }

    /// What `/metrics` on the local door says now.
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.local("GET", "/metrics", b"").text())
    }

    /// Waits until `/metrics` fulfils a condition.
    pub fn metrics_where(&self, what: &str, wanted: impl Fn(&Metrics) -> bool) -> Metrics {
        eventually(what, || Some(self.metrics()).filter(|m| wanted(m)))
    }

    /// A mark in the log, for looking only at later lines.
    pub fn mark(&self) -> usize {
        self.log.mark()
    }

    /// The log from a mark on.
    pub fn log_since(&self, mark: usize) -> Vec<String> {
        self.log.since(mark)
    }

    /// Waits for a line of the log, written or yet to be written, that `wanted` accepts.
    pub fn log_line_where(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.log_line_after(0, what, wanted)
    }

    /// As `log_line_where`, but only lines after `mark`.
    pub fn log_line_after(&self, mark: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = |line: &String| (wanted(line) || line == END).then(|| line.clone());
        let line = self.log.wait(mark, DEADLINE, &format!("a log line: {what}"), found);
        assert_ne!(line, END, "the agent ended before a log line: {what}");
        line
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> &Path {
        self.builder.state_dir()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub fn sigterm(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn sigint(&self) {
        self.signal(libc::SIGINT);
    }

    /// Asks it to read its configuration again.
    pub fn sighup(&self) {
        self.signal(libc::SIGHUP);
    }

    /// Ends it as a power cut would.
    pub fn kill9(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait_exit(DEADLINE);
    }

    /// Waits for its end; returns the exit code, or minus the signal that ended it.
    pub fn wait_exit(&mut self, deadline: Duration) -> i32 {
        let status = within(deadline, "the agent to end", || self.exited());
        status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
    }

    /// True while it runs.
    pub fn runs(&mut self) -> bool {
        self.exited().is_none()
    }

    /// Starts it again on the same state, after it has ended, perhaps with another environment.
    pub fn again(&self, change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Agent {
        assert!(self.exit.is_some(), "the first agent still runs");
        change(self.builder.clone()).start()
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().unwrap();
        }
        self.exit
    }

    fn signal(&self, signal: libc::c_int) {
        assert!(self.exit.is_none(), "the agent has ended, and its pid may be another's");
        let pid = libc::pid_t::try_from(self.pid()).unwrap();
        // SAFETY: kill() touches no memory; the child is not reaped yet, so that the pid is still its own.
        let done = unsafe { libc::kill(pid, signal) };
        assert_eq!(done, 0, "kill: {}", std::io::Error::last_os_error());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            let lines = self.log.all();
            eprintln!("--- the agent's log, last {TAIL} of {} lines ---", lines.len());
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                eprintln!("{line}");
            }
        }
    }
}
