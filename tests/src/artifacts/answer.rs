//! How the server answers one request: a range of a file where one is asked for, or what a fault makes of it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Asked, Fault, File, Shared, sha256};

/// Between two drops of a [`Fault::Drip`].
const DROP_EVERY: Duration = Duration::from_millis(50);

pub(super) fn answer(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let asked = read(&stream)?;
    let file = shared.files.lock().unwrap().get_mut(&asked.path).map(|file| (file.bytes.clone(), step(file)));
    let (bytes, fault) = file.unwrap_or((Vec::new(), Fault::NotFound));
    let allowed = asked.headers.contains_key("authorization");
    let outcome = match fault {
        Fault::NotFound => refuse(&mut stream, "404 Not Found", ""),
        Fault::FailFirst(_) => refuse(&mut stream, "500 Internal Server Error", ""),
        Fault::Redirect(to) => refuse(&mut stream, "307 Temporary Redirect", &format!("location: {to}\r\n")),
        Fault::Asks(how) if !allowed => {
            refuse(&mut stream, "401 Unauthorized", &format!("www-authenticate: {how}\r\n"))
        }
        Fault::CutAfter(n) => part(&mut stream, &bytes, (0, n)),
        Fault::Stall => held(stream, shared, |stream| part(stream, &bytes, (0, 1))),
        Fault::Endless => endless(&mut stream, &bytes, shared),
        Fault::StallAfter(_) => held(stream, shared, |stream| serve(stream, &bytes, &asked, fault)),
        fault => serve(&mut stream, &bytes, &asked, fault),
    };
    shared.requests.push(asked);
    outcome
}

fn read(stream: &TcpStream) -> io::Result<Asked> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut asked = Asked { path, ..Asked::default() };
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            asked.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    Ok(asked)
}

/// The fault that holds for this request; the next may have another.
fn step(file: &mut File) -> Fault {
    let now = match file.faults.front_mut() {
        Some(Fault::FailFirst(0)) => Fault::None,
        Some(Fault::FailFirst(left)) => {
            *left -= 1;
            return Fault::FailFirst(*left);
        }
        Some(fault) => *fault,
        None => Fault::None,
    };
    if file.faults.len() > 1 {
        file.faults.pop_front();
    }
    now
}

fn refuse(stream: &mut TcpStream, status: &str, headers: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{headers}content-length: 3\r\nconnection: close\r\n\r\nno\n")
}

/// Promises all and sends some.
fn part(stream: &mut TcpStream, bytes: &[u8], (from, to): (usize, usize)) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len())?;
    stream.write_all(&bytes[from..to.min(bytes.len())])
}

/// Keeps the connection open after what was sent.
fn held(
    mut stream: TcpStream,
    shared: &Shared,
    send: impl FnOnce(&mut TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    let sent = send(&mut stream);
    shared.stalled.lock().unwrap().push(stream);
    sent
}

fn serve(stream: &mut TcpStream, bytes: &[u8], asked: &Asked, fault: Fault) -> io::Result<()> {
    let etag = format!("\"{}\"", &sha256(bytes)[..16]);
    let range = asked.header("range").strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')?.parse().ok());
    let condition = asked.header("if-range");
    let same = condition.is_empty() || condition == etag || fault == Fault::Unconditional;
    let mut from: usize = range.filter(|_| same && fault != Fault::Plain).unwrap_or(0);
    if from > 0 && (from >= bytes.len() || fault == Fault::Unsatisfiable) {
        return refuse(
            stream,
            "416 Range Not Satisfiable",
            &format!("content-range: bytes */{}\r\n", bytes.len()),
        );
    }
    if from > 0 && fault == Fault::WrongRange {
        from += 1;
    }
    let (whole, rest) = (bytes.len(), &bytes[from..]);
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", rest.len())?;
    if from > 0 {
        write!(stream, "content-range: bytes {from}-{}/{whole}\r\n", whole - 1)?;
    }
    match fault {
        Fault::Plain => {}
        Fault::Gzip => write!(stream, "content-encoding: gzip\r\netag: {etag}\r\n")?,
        _ => write!(stream, "accept-ranges: bytes\r\netag: {etag}\r\n")?,
    }
    stream.write_all(b"\r\n")?;
    match fault {
        Fault::CutShort(n) | Fault::StallAfter(n) => stream.write_all(&rest[..n.min(rest.len())]),
        Fault::Drip(n) => rest.chunks(n).try_for_each(|drop| {
            // This is what makes it slow.
            std::thread::sleep(DROP_EVERY);
            stream.write_all(drop)
        }),
        _ => stream.write_all(rest),
    }
}

fn endless(stream: &mut TcpStream, bytes: &[u8], shared: &Shared) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
    while !shared.closing.load(Ordering::SeqCst) {
        write!(stream, "{:x}\r\n", bytes.len())?;
        stream.write_all(bytes)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}
