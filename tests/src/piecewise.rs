//! One HTTP exchange by hand, so that a test can send and read piece by piece; knows nothing of what is asked.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::wait::DEADLINE;

/// A connection on which one request after the other is sent.
#[derive(Debug)]
pub struct Wire<S>(BufReader<S>);

/// What was read of a body when it broke off, by a connection that closed or by what is no chunk.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub Vec<u8>);

impl Wire<TcpStream> {
    /// A connection to a public door. A read that nothing answers panics at [`DEADLINE`].
    pub fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// The same connection, to send on one thread and read on another.
    #[must_use]
    pub fn other_end(&self) -> Self {
        Self(BufReader::new(self.0.get_ref().try_clone().unwrap()))
    }
}

impl Wire<UnixStream> {
    /// A connection to a local door.
    pub fn to_local(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }
}

impl<S: Read + Write> Wire<S> {
    /// Over any connection that stands.
    pub fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// What it goes over.
    pub fn stream(&self) -> &S {
        self.0.get_ref()
    }

    /// Sends the head of a request, with any further lines of it, each ended by CRLF.
    #[must_use]
    pub fn asking(mut self, method: &str, target: &str, lines: &str) -> Self {
        self.send(format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n"));
        self
    }

    /// Sends any bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a piece of a chunked body; an empty one is its end.
    pub fn send_chunk(&mut self, piece: impl AsRef<[u8]>) {
        let piece = piece.as_ref();
        let frame = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        self.send(frame);
    }

    /// Reads the head of a response, in lower case.
    pub fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let byte = self.byte().unwrap_or_else(|| panic!("no head: {head:?}"));
            head.push(char::from(byte).to_ascii_lowercase());
        }
        head
    }

    /// Reads the head of a response and the first chunk of its body.
    pub fn chunk_after_head(&mut self) -> Vec<u8> {
        self.head();
        self.chunk().unwrap().unwrap()
    }

    /// Reads the next chunk of a body; none at its end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(self.byte().ok_or(Broken(Vec::new()))?));
        }
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| Broken(Vec::new()))?;
        let mut piece: Vec<u8> =
            (0..length + 2).map(|_| self.byte()).collect::<Option<_>>().ok_or(Broken(Vec::new()))?;
        piece.truncate(length);
        Ok((length > 0).then_some(piece))
    }

    /// Reads the rest of a chunked body.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            match self.chunk() {
                Ok(Some(piece)) => body.extend(piece),
                Ok(None) => return Ok(body),
                Err(_) => return Err(Broken(body)),
            }
        }
    }

    /// Reads what is there, or waits for it as long as a read may take.
    pub fn read_some(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }

    /// Reads so many bytes.
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads until the other side closes.
    pub fn closed(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.byte()).collect()
    }

    /// None where the other side has closed.
    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            // Over TLS a connection that is cut off without a word is no end, but here it is as good as one.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                None
            }
            Err(error) => panic!("reading a response: {error}"),
        }
    }
}
