//! A local socket whose answers a test makes up: for what no agent says in the moment that a test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::wait::Journal;

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path with its query, as `GET /x?y=z`.
    pub what: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers requests on a socket of its own until the test's process ends.
#[derive(Debug)]
pub struct Scripted {
    folder: TempDir,
    asked: Journal<Asked>,
}

impl Scripted {
    /// `answer` gets each request and how many came before it, and gives a status and a body. With the status 0 the
    /// connection is closed without an answer.
    pub fn answering(answer: impl Fn(&Asked, usize) -> (u16, String) + Send + 'static) -> Self {
        let scripted = Self { folder: tempfile::tempdir().unwrap(), asked: Journal::default() };
        let (listener, asked) = (UnixListener::bind(scripted.socket()).unwrap(), scripted.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&stream);
                let (status, body) = answer(&request, asked.mark());
                asked.push(request);
                if status > 0 {
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} Made Up\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                    );
                    // Whoever asked may be gone.
                    stream.write_all((head + &body).as_bytes()).ok();
                }
            }
        });
        scripted
    }

    /// The same answer to everything.
    pub fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::answering(move |_, _| (status, body.clone()))
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("scripted.sock")
    }

    /// A folder that is there as long as it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.all()
    }
}

fn read(stream: &UnixStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut lines = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let what = lines.next().unwrap().rsplit_once(' ').unwrap().0.to_owned();
    let length =
        lines.find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    // The rest of the head stands before the body.
    lines.for_each(drop);
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    Asked { what, body }
}
