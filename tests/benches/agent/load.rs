//! Requests over connections that stay open; on each a request follows the answer to the last.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use twinlet_tests::Agent;

/// Connections of each of the two threads of [`requests_per_second`].
pub(crate) const CONNECTIONS: usize = 16;
const LOADED: Duration = Duration::from_millis(2_000);

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Loads the agent with one request over 32 connections.
pub(crate) fn requests_per_second(agent: &Agent, request: &str) -> f64 {
    per_second(agent, &[request, request], CONNECTIONS, |_| 1)
}

/// Loads the agent from a thread for each of the requests, each with so many connections; a second's worth of what
/// `count` makes of the bodies that are answered.
pub(crate) fn per_second(
    agent: &Agent,
    requests: &[&str],
    connections: usize,
    count: impl Fn(&str) -> u32 + Sync,
) -> f64 {
    let began = Instant::now();
    let done: u32 = std::thread::scope(|scope| {
        let run = |request| load(agent.address(), request, connections, &count);
        let threads: Vec<_> = requests.iter().map(|request| scope.spawn(move || run(request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn load(address: &str, request: &str, connections: usize, count: impl Fn(&str) -> u32) -> u32 {
    let mut streams: Vec<_> = (0..connections).map(|_| connect(address)).collect();
    let (began, mut done, mut buffer) = (Instant::now(), 0, vec![0; 16 << 10]);
    while began.elapsed() < LOADED {
        for stream in &mut streams {
            stream.write_all(request.as_bytes()).unwrap();
        }
        for stream in &mut streams {
            done += count(read_answer(stream, &mut buffer));
        }
    }
    done
}

/// How long each of many requests took that went one after the other, from the shortest.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Of requests on one connection.
    pub(crate) fn of(agent: &Agent, request: &str) -> Self {
        let (mut stream, mut buffer) = (connect(agent.address()), vec![0; 16 << 10]);
        let began = Instant::now();
        let mut one = || {
            let sent = Instant::now();
            stream.write_all(request.as_bytes()).unwrap();
            read_answer(&mut stream, &mut buffer);
            sent.elapsed()
        };
        Self::sorted(std::iter::from_fn(|| (began.elapsed() < LOADED).then(&mut one)))
    }

    /// Of any number of times.
    pub(crate) fn sorted(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        Self(times)
    }

    /// The time within which so many of a hundred were answered.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.0.get(self.0.len() * percent / 100).copied().unwrap_or_default()
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads one answer, which must be a good one, and returns its body; of chunks as they came.
fn read_answer<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> &'a str {
    let mut have = 0;
    let (begin, end) = loop {
        let n = stream.read(buffer.get_mut(have..).unwrap()).unwrap();
        assert!(n > 0, "the agent closed a connection");
        have += n;
        let text = std::str::from_utf8(buffer.get(..have).unwrap()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 20"), "{text}");
        let begin = head.len() + 4;
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = match length {
            Some(length) => length.parse().unwrap(),
            None if body.ends_with("0\r\n\r\n") => body.len(),
            None => continue,
        };
        if body.len() >= length {
            break (begin, begin + length);
        }
    };
    std::str::from_utf8(buffer.get(begin..end).unwrap()).unwrap()
}
