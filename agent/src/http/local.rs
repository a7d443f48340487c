//! The local door: tiny_http on a Unix socket that only this user can open, on every build. Whoever can open it is
//! trusted, which tiny_http needs: it limits neither heads nor connections nor time.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tiny_http::{HTTPVersion, Header, Listener, Method, Request, Response, Server};
use tokio::runtime::Handle;

use super::answer::Failure;
use super::chunked::{self, Framing};
use super::{Answer, Body, Incoming, Outgoing, Service, request_id};
use crate::thread::Thread;

/// An answer up to this size fits the socket's buffer, and is written without waiting for the client.
const SMALL_BYTES: usize = 64 << 10;

/// The name of the door on the socket.
const LOCAL: &str = "local";

/// The running door.
pub struct LocalDoor {
    server: Arc<Server>,
    thread: Thread,
    socket: Option<PathBuf>,
}

impl LocalDoor {
    /// Opens the door at a path. A socket that an earlier run left there is replaced.
    pub fn open(socket: &Path, service: Arc<Service>, max_body: usize) -> io::Result<Self> {
        // Bound under another name first: it must never stand at its place with wider permissions.
        let fresh = socket.with_added_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
        fs::rename(&fresh, socket)?;
        Self::serve(LOCAL, listener.into(), Some(socket.to_owned()), service, max_body)
    }

    /// Opens a door on a loopback address, for builds without the public one.
    pub fn open_loopback(address: SocketAddr, service: Arc<Service>, max_body: usize) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why =
                "a build without the public door listens on loopback only; set listen_addr to 127.0.0.1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = std::net::TcpListener::bind(address)?;
        Self::serve("loopback", listener.into(), None, service, max_body)
    }

    /// Where it listens, if that is an IP address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.server_addr().to_ip()
    }

    fn serve(
        door: &'static str,
        listener: Listener,
        socket: Option<PathBuf>,
        service: Arc<Service>,
        max_body: usize,
    ) -> io::Result<Self> {
        let server = Arc::new(Server::from_listener(listener, None).map_err(io::Error::other)?);
        let of_thread = server.clone();
        let thread = Thread::start(door, move || {
            // The iterator ends when the door is unblocked.
            for request in of_thread.incoming_requests() {
                answer(door, request, &service, max_body);
            }
        })?;
        Ok(Self { server, thread, socket })
    }

    /// Closes the door; a client that holds up its thread is left behind at the deadline.
    pub fn close_by(self, deadline: Instant) {
        self.server.unblock();
        self.thread.join_by(deadline);
        if let Some(Err(error)) = self.socket.as_ref().map(fs::remove_file) {
            log::debug!("removing the local socket: {error}");
        }
    }
}

/// Reads one request and hands it on; the answer is written by whoever has it.
fn answer(door: &'static str, mut request: Request, service: &Arc<Service>, max_body: usize) {
    let id = request.headers().iter().find(|h| h.field.equiv("x-request-id")).map(|h| h.value.as_str());
    let id = request_id(id.map(str::as_bytes));
    let mut incoming = incoming(&request, id.clone());
    // Whoever can open the socket is trusted; a loopback address is open to every user of the device.
    incoming.may_manage = door == LOCAL;
    let max_body = service.body_limit(&incoming, max_body);
    let mut body = Vec::new();
    let limit = u64::try_from(max_body).unwrap_or(u64::MAX);
    // One byte more than allowed tells that there is more.
    match request.as_reader().take(limit.saturating_add(1)).read_to_end(&mut body) {
        Ok(read) if read > max_body => {
            let answer = Outgoing::Whole(Failure::TooLarge(max_body).answer(&id));
            write(request, service.leaves_by(door, answer, &id));
            return;
        }
        Ok(_) => {}
        Err(error) => {
            log::debug!("{door}: reading a request: {error}");
            return;
        }
    }
    incoming.body = Body::Whole(body);
    let leaves_by = service.clone();
    // An answer that comes later is awaited by the worker's own deadline, not by this thread.
    let reply = move |answer| write(request, leaves_by.leaves_by(door, answer, &id));
    service.handle(incoming, Box::new(reply));
}

fn incoming(request: &Request, request_id: String) -> Incoming {
    let (path, query) = match request.url().split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (request.url(), None),
    };
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|h| (h.field.as_str().as_str().to_ascii_lowercase(), h.value.as_str().as_bytes().to_vec()))
        .collect();
    let host =
        headers.iter().find(|(name, _)| name == "host").map(|(_, value)| String::from_utf8_lossy(value));
    Incoming {
        method: request.method().to_string().to_ascii_uppercase(),
        path: path.to_owned(),
        query,
        host: host.unwrap_or_default().into_owned(),
        headers: headers.clone(),
        body: Body::default(),
        request_id,
        may_manage: false,
        secure: false,
    }
}

fn write(request: Request, answer: Outgoing) {
    let (mut head, body) = match answer {
        Outgoing::Whole(answer) => (answer, None),
        Outgoing::Streamed(head, body) => (head, Some(body)),
    };
    let Some(body) = body else {
        let whole = std::mem::take(&mut head.body);
        let small = whole.len() <= SMALL_BYTES;
        let response = with_head(Response::from_data(whole), &head);
        return send(small, move || request.respond(response));
    };
    let framing = match (request.method(), request.http_version()) {
        (Method::Head, _) => Framing::Head,
        (_, version) if *version < HTTPVersion(1, 1) => Framing::Whole,
        _ => Framing::Chunks,
    };
    // The worker that brings the answer has the runtime at hand.
    match Handle::try_current() {
        Ok(runtime) => {
            let mut to = request.into_writer();
            send(false, move || chunked::write(&mut to, &head, body, framing, &runtime));
        }
        Err(error) => log::error!("local: no runtime to read an answer with: {error}"),
    }
}

fn with_head<R: Read>(response: Response<R>, head: &Answer) -> Response<R> {
    let mut response = response.with_status_code(head.status);
    for (name, value) in &head.headers {
        // tiny_http holds ASCII only; what is more than that passes by the public door alone.
        match Header::from_bytes(name.as_bytes(), value.as_slice()) {
            Ok(header) => response.add_header(header),
            Err(()) => log::debug!("local: the header `{name}` is not ASCII and is left out"),
        }
    }
    response
}

/// A client that reads slowly must not hold a worker.
fn send(small: bool, write: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let write = move || {
        if let Err(error) = write() {
            log::debug!("local: writing an answer: {error}");
        }
    };
    if small {
        write();
    } else if let Err(error) =
        thread::Builder::new().name("local-write".into()).stack_size(128 << 10).spawn(write)
    {
        log::warn!("local: no thread to write an answer: {error}");
    }
}
