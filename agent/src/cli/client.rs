//! Requests to the running agent over its local socket: ureq over a Unix socket. It knows no operation; what the agent
//! refuses comes back as an error in the agent's words.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::ArgMatches;
use serde_json::Value;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error, Timeout, http};

use super::socket;

/// How long the agent has for what it can answer at once.
pub(super) const SOON: Duration = Duration::from_secs(10);
/// How long it has for what must be on the disk first.
pub(super) const DURABLE: Duration = Duration::from_secs(65);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// A client of one agent. Each request has a connection of its own.
pub(super) struct Client {
    socket: PathBuf,
    agent: Agent,
}

/// What the agent answered.
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body, as it came.
    pub(super) body: Vec<u8>,
}

impl Client {
    /// A client of the agent that the command line, the environment and the configuration mean. Nothing is connected.
    pub(super) fn of(matches: &ArgMatches) -> anyhow::Result<Self> {
        Ok(Self::at(socket::of(matches)?))
    }

    fn at(socket: PathBuf) -> Self {
        let settings = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent("twinlet")
            .build();
        let agent = Agent::with_parts(settings, Local(socket.clone()), NoNames);
        Self { socket, agent }
    }

    /// A command line for a shell that asks the agent for a path.
    pub(super) fn curl(&self, path: &str) -> String {
        let (socket, url) = (self.socket.display().to_string(), format!("http://localhost{path}"));
        format!("curl --unix-socket {} {}", quoted(&socket), quoted(&url))
    }

    /// What a GET returns, as JSON. `path` may have a query.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, None, SOON)?.done()?.json()
    }

    /// Any request, whatever its answer is; `body` is a content type and bytes.
    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
        within: Duration,
    ) -> anyhow::Result<Reply> {
        self.send(method, path, body, within).map_err(|error| self.told(error, within))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
        within: Duration,
    ) -> Result<Reply, Error> {
        let request = http::Request::builder().method(method).uri(format!("http://localhost{path}"));
        let mut response = match body {
            Some((kind, bytes)) => {
                let request = request.header("content-type", kind).body(bytes)?;
                self.agent.run(self.agent.configure_request(request).timeout_global(Some(within)).build())?
            }
            None => {
                let request = request.body(())?;
                self.agent.run(self.agent.configure_request(request).timeout_global(Some(within)).build())?
            }
        };
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        Ok(Reply { status: response.status().as_u16(), body })
    }

    /// What is wrong, and what can be done about it.
    fn told(&self, error: Error, within: Duration) -> anyhow::Error {
        let socket = self.socket.display();
        let Error::Io(error) = error else {
            return match error {
                Error::Timeout(Timeout::Global) => {
                    anyhow!("the agent at {socket} did not answer within {} s", within.as_secs())
                }
                error => anyhow!("the agent at {socket}: {error}"),
            };
        };
        match error.kind() {
            io::ErrorKind::NotFound => anyhow!(
                "no agent is running at {socket}: there is no such socket.\n\
                 Start one with `twinlet run`, or name the socket of a running one with --socket."
            ),
            io::ErrorKind::ConnectionRefused => anyhow!(
                "no agent is running at {socket}: nobody listens on that socket, which an earlier run left behind.\n\
                 Start one with `twinlet run`, or name the socket of a running one with --socket."
            ),
            io::ErrorKind::PermissionDenied => anyhow!(
                "you may not open {socket}.\n\
                 The agent's own user and root may: try with sudo."
            ),
            _ => anyhow!("the agent at {socket}: {error}"),
        }
    }
}

impl Reply {
    /// The reply where the agent did what was asked, else an error in its words.
    pub(super) fn done(self) -> anyhow::Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let json: Option<Value> = serde_json::from_slice(&self.body).ok();
        let told = json.as_ref().and_then(|json| json.get("error")?.as_str());
        match told.map_or_else(|| self.text(), str::to_owned).trim() {
            "" => bail!("the agent answered {}", self.status),
            why => bail!("{why}"),
        }
    }

    /// The same, where what was asked for was a function.
    pub(super) fn done_with(self, function: &str) -> anyhow::Result<Self> {
        if self.status == 404 {
            bail!("there is no function `{function}` here; `twinlet functions` lists those that are");
        }
        self.done()
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).map_err(|error| {
            anyhow!("the agent's answer is not JSON, which this command understands: {error}")
        })
    }

    /// The body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Text as one part of a path or of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:@%+=,".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Connects to the socket, whatever is asked for.
#[derive(Debug)]
struct Local(PathBuf);

impl Connector for Local {
    type Out = Stream;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Stream>, Error> {
        let stream = UnixStream::connect(&self.0)?;
        let sizes = details.config;
        let buffers = LazyBuffers::new(sizes.input_buffer_size(), sizes.output_buffer_size());
        Ok(Some(Stream { stream, buffers }))
    }
}

/// A connection.
#[derive(Debug)]
struct Stream {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| timed_out(error, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let read = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| timed_out(error, &timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// Connections are not kept.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// A socket's timeout shows as one of two kinds.
fn timed_out(error: io::Error, timeout: &NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// There is no name to look up.
#[derive(Debug)]
struct NoNames;

impl Resolver for NoNames {
    fn resolve(
        &self,
        _: &http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_query_is_encoded() {
        assert_eq!(encoded("/a b/{id}?x=ü&+"), "%2Fa%20b%2F%7Bid%7D%3Fx%3D%C3%BC%26%2B");
    }

    #[test]
    fn whoever_may_not_open_the_socket_is_told_who_may() {
        let client = Client::at("/run/twinlet/twinlet.sock".into());
        let told = client.told(io::Error::from(io::ErrorKind::PermissionDenied).into(), SOON).to_string();
        assert!(
            told.starts_with("you may not open /run/twinlet/twinlet.sock") && told.contains("sudo"),
            "{told}"
        );
    }

    #[test]
    fn a_shell_takes_a_path_as_one_word() {
        assert_eq!(quoted("/run/twinlet.sock"), "/run/twinlet.sock");
        assert_eq!(quoted("/a b/it's/*"), r"'/a b/it'\''s/*'");
    }

    #[test]
    fn a_refusal_is_told_in_the_agents_words() {
        let told = |status, body: &str| {
            let reply = Reply { status, body: body.into() };
            reply.done().err().map(|error| error.to_string())
        };
        assert_eq!(told(404, r#"{"error":"Function not found"}"#).as_deref(), Some("Function not found"));
        assert_eq!(told(404, "Function unknown.\n").as_deref(), Some("Function unknown."));
        assert_eq!(told(503, "").as_deref(), Some("the agent answered 503"));
        assert_eq!(told(200, "whatever"), None);
    }
}
