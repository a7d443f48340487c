//! The body of a request on its way out: what the guest writes, as the client reads it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use super::outgoing::{Flow, MAX_BODY_BYTES};

/// Why a body could not be read to its end; the client's own error says no more than that.
pub(super) type FirstError = Arc<Mutex<Option<Error>>>;

/// Reads what the guest writes, and waits for it.
pub(super) struct RequestBody {
    body: WasiBody,
    flow: Flow,
    piece: Bytes,
    ended: bool,
    broken: bool,
    carried: u64,
    /// What `content-length` tells.
    told: Option<u64>,
    /// Why it broke.
    pub(super) error: FirstError,
}

impl RequestBody {
    pub(super) fn new(body: WasiBody, told: Option<u64>, flow: Flow) -> Self {
        let (piece, error) = (Bytes::new(), FirstError::default());
        Self { body, flow, piece, ended: false, broken: false, carried: 0, told, error }
    }

    /// True for a body that ends before its first byte. Waits until that is known.
    pub(super) fn is_empty(&mut self) -> bool {
        self.fill().is_ok() && self.piece.is_empty()
    }

    /// Waits for a piece that is not empty, or the end. What went wrong once stays so.
    fn fill(&mut self) -> io::Result<()> {
        let filled = if self.broken { Err(Error::HttpProtocolError) } else { self.next() };
        filled.map_err(|error| {
            self.broken = true;
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            io::Error::other("the request's body broke")
        })
    }

    fn next(&mut self) -> Result<(), Error> {
        while self.piece.is_empty() && !self.ended {
            match self.flow.wait(self.body.frame()).ok_or(Error::ConnectionWriteTimeout)? {
                // Trailers are left out: HTTP/1.1 peers seldom read them.
                Some(frame) => self.piece = frame?.into_data().unwrap_or_default(),
                None => self.ended = true,
            }
            let length = self.piece.len();
            self.carried = self.carried.saturating_add(length as u64);
            if self.carried > MAX_BODY_BYTES {
                return Err(Error::HttpRequestBodySize(Some(MAX_BODY_BYTES)));
            }
            self.flow.pay(length);
        }
        let short = self.ended && self.told.is_some_and(|told| self.carried < told);
        if short { Err(Error::HttpRequestBodySize(Some(self.carried))) } else { Ok(()) }
    }
}

impl Read for RequestBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let length = buffer.len().min(self.piece.len());
        if let Some(start) = buffer.get_mut(..length) {
            self.piece.copy_to_slice(start);
        }
        Ok(length)
    }
}
