//! The local door: tiny_http on a Unix socket that only this user can open, on every build, behind a `gate`. Whoever
//! can open it is trusted, which tiny_http needs: it limits no time.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::answer::Failure;
use super::chunked::{self, Framing};
use super::gate::{Gate, Outer};
use super::{Answer, Body, Incoming, Outgoing, Service, request_id};
use crate::state_dir::aside;
use crate::thread::{STACK, Thread};

/// The name of the door on the socket.
const LOCAL: &str = "local";

/// Between two tries to listen anew.
const PAUSE: Duration = Duration::from_millis(100);
/// A body of up to this size was read by tiny_http.
const READ_BYTES: usize = 1024;
/// How much longer a body may be than it is taken, and still be told so by the service.
const TOLD_BYTES: u64 = 64 << 20;

/// The running door.
pub struct LocalDoor {
    /// What listens behind the gate; another one after it failed.
    server: Arc<Mutex<Arc<Server>>>,
    stop: mpsc::Sender<()>,
    gate: AbortHandle,
    thread: Thread,
    address: Option<SocketAddr>,
    sockets: Vec<PathBuf>,
}

/// Where tiny_http listens.
struct Inner {
    path: PathBuf,
    /// The name that it is bound under first.
    fresh: PathBuf,
}

/// What answers what comes by one door.
#[derive(Clone)]
struct Behind {
    door: &'static str,
    service: Arc<Service>,
    max_body: usize,
}

impl LocalDoor {
    /// Opens the door at a path. A socket that an earlier run left there is replaced.
    pub fn open(socket: &Path, service: Arc<Service>, max_body: usize) -> io::Result<Self> {
        let inner =
            Inner { path: socket.with_added_extension("in"), fresh: socket.with_added_extension("new") };
        let behind = Behind { door: LOCAL, service, max_body };
        for path in [socket, &inner.path, &inner.fresh] {
            if path.is_dir() {
                let aside = aside::set_aside(path, path.parent().unwrap_or(path))?;
                log::error!("{} is a directory; it is kept as {}", path.display(), aside.display());
            }
        }
        let outer = || bind(&inner.fresh, socket).map(Outer::Unix);
        let mut door = Self::serve(&inner, outer, behind)?;
        door.sockets.push(socket.to_owned());
        Ok(door)
    }

    /// Opens a door on a loopback address, for builds without the public one; `near` is where a socket may be put.
    pub fn open_loopback(
        address: SocketAddr,
        near: &Path,
        service: Arc<Service>,
        max_body: usize,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why =
                "a build without the public door listens on loopback only; set listen_addr to 127.0.0.1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = std::net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let inner = Inner { path: near.with_added_extension("lo"), fresh: near.with_added_extension("new") };
        let behind = Behind { door: "loopback", service, max_body };
        let mut door = Self::serve(&inner, || Ok(Outer::Tcp(listener)), behind)?;
        door.address = Some(address);
        Ok(door)
    }

    /// Where it listens, if that is an IP address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    fn serve(inner: &Inner, outer: impl FnOnce() -> io::Result<Outer>, behind: Behind) -> io::Result<Self> {
        let most = behind.max_body.max(behind.service.api.settings.max_body_bytes);
        let longest = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(TOLD_BYTES);
        let runtime = behind.service.api.runtime.clone();
        let (path, fresh) = (inner.path.clone(), inner.fresh.clone());
        let first = Arc::new(listen(inner)?);
        let gate = Gate { inner: path.clone(), longest }.open(outer()?, &runtime)?;
        let server = Arc::new(Mutex::new(first));
        let (stop, stopped) = mpsc::channel();
        let of_thread = server.clone();
        let inner = Inner { path: path.clone(), fresh };
        let thread = Thread::start(behind.door, move || run(&inner, &of_thread, &stopped, &behind))?;
        Ok(Self { server, stop, gate, thread, address: None, sockets: vec![path] })
    }

    /// Closes the door; a client that holds up its thread is left behind at the deadline.
    pub fn close_by(self, deadline: Instant) {
        if self.stop.send(()).is_err() {
            log::debug!("the local door has ended already");
        }
        locked(&self.server).unblock();
        self.thread.join_by(deadline);
        // Not before: what was answered last is still to pass.
        self.gate.abort();
        for socket in &self.sockets {
            if let Err(error) = fs::remove_file(socket) {
                log::debug!("removing the local socket: {error}");
            }
        }
    }
}

/// Answers until it is stopped. Tiny_http takes any failed accept for the end; then it is begun anew.
fn run(inner: &Inner, server: &Mutex<Arc<Server>>, stopped: &mpsc::Receiver<()>, behind: &Behind) {
    loop {
        let now = locked(server).clone();
        // The iterator ends when the door is unblocked, or can not accept.
        for request in now.incoming_requests() {
            take(request, behind);
        }
        drop(now);
        let mut failing = false;
        loop {
            if !matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty)) {
                return;
            }
            match listen(inner) {
                Ok(fresh) => {
                    log::warn!("{}: accepting connections had failed, and is begun anew", behind.door);
                    *locked(server) = Arc::new(fresh);
                    break;
                }
                Err(error) if !std::mem::replace(&mut failing, true) => {
                    log::error!("{}: listening anew, which is tried on: {error}", behind.door);
                }
                Err(_) => {}
            }
            if !matches!(stopped.recv_timeout(PAUSE), Err(mpsc::RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }
}

fn locked(server: &Mutex<Arc<Server>>) -> MutexGuard<'_, Arc<Server>> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(inner: &Inner) -> io::Result<Server> {
    Server::from_listener(bind(&inner.fresh, &inner.path)?, None).map_err(io::Error::other)
}

/// Listens at a path, bound under another name first: it must never stand at its place with wider permissions.
fn bind(fresh: &Path, path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(fresh)?;
    fs::set_permissions(fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(fresh, path)?;
    Ok(listener)
}

/// Answers a request here, or on a thread of its own where its body is still to come; the gate bounds how many.
fn take(request: Request, behind: &Behind) {
    let told_to_wait = request.headers().iter().any(|header| header.field.equiv("expect"));
    let here = request.body_length().is_none_or(|length| length <= READ_BYTES && !told_to_wait);
    if !has_body(&request) || (here && !is_chunked(&request)) {
        return answer(behind.door, request, &behind.service, behind.max_body);
    }
    let of_thread = behind.clone();
    let work = move || answer(of_thread.door, request, &of_thread.service, of_thread.max_body);
    if let Err(error) = thread::Builder::new().name("local-read".into()).stack_size(STACK).spawn(work) {
        log::warn!("{}: no thread to read a request: {error}", behind.door);
    }
}

fn is_chunked(request: &Request) -> bool {
    request.headers().iter().any(|header| header.field.equiv("transfer-encoding"))
}

/// Whether a body follows. What tiny_http calls the body of a request for an upgrade has no end.
fn has_body(request: &Request) -> bool {
    is_chunked(request) || request.body_length().is_some_and(|length| length > 0)
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
    let most = if has_body(&request) { limit.saturating_add(1) } else { 0 };
    match request.as_reader().take(most).read_to_end(&mut body) {
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
        let response = with_head(Response::from_data(whole), &head);
        return send(move || request.respond(response));
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
            send(move || chunked::write(&mut to, &head, body, framing, &runtime));
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

/// Neither a client that reads slowly, nor one that sends its next request before it has the answer to the one before,
/// may hold a worker or the door.
fn send(write: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let write = move || {
        if let Err(error) = write() {
            log::debug!("local: writing an answer: {error}");
        }
    };
    if let Err(error) = thread::Builder::new().name("local-write".into()).stack_size(128 << 10).spawn(write) {
        log::warn!("local: no thread to write an answer: {error}");
    }
}
