//! Bodies in and out, in pieces; knows nothing of what is in them.

use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam, http_error_code,
};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// How much is read at once.
const READ_BYTES: u64 = 16 << 10;
/// How much may be written at once, as `wasi:io` has it.
const WRITE_BYTES: usize = 4096;

/// The response could not be made or not be written: the client is gone, or what it was made from broke off.
pub(crate) struct Broken;

impl From<()> for Broken {
    fn from((): ()) -> Self {
        Self
    }
}

/// A response that is being written. Dropped before it was finished, it breaks off.
pub(crate) struct Answer {
    // The stream is the body's child and must go before it.
    stream: OutputStream,
    body: OutgoingBody,
}

impl Answer {
    /// Sends the head of a response, with one header.
    pub(crate) fn begin(
        out: ResponseOutparam,
        status: u16,
        header: Option<(&str, Vec<u8>)>,
    ) -> Result<Self, Broken> {
        let fields = Fields::new();
        if let Some((name, value)) = header {
            fields.append(name, &value).map_err(|_| Broken)?;
        }
        Self::with(out, status, fields)
    }

    fn with(out: ResponseOutparam, status: u16, fields: Fields) -> Result<Self, Broken> {
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status)?;
        let body = response.body()?;
        ResponseOutparam::set(out, Ok(response));
        Ok(Self { stream: body.write()?, body })
    }

    /// A whole response, whose length is told.
    pub(crate) fn text(out: ResponseOutparam, status: u16, text: &str) -> Result<(), Broken> {
        let fields = Fields::new();
        let length = text.len().to_string();
        for (name, value) in [("content-type", "text/plain; charset=utf-8"), ("content-length", &length)] {
            fields.append(name, value.as_bytes()).map_err(|_| Broken)?;
        }
        let answer = Self::with(out, status, fields)?;
        answer.write(text.as_bytes())?;
        answer.finish()
    }

    /// Writes a piece, and waits until it is on its way.
    pub(crate) fn write(&self, piece: &[u8]) -> Result<(), Broken> {
        let mut parts = piece.chunks(WRITE_BYTES);
        parts.try_for_each(|part| self.stream.blocking_write_and_flush(part)).map_err(|_| Broken)
    }

    /// Says that it is whole.
    pub(crate) fn finish(self) -> Result<(), Broken> {
        drop(self.stream);
        OutgoingBody::finish(self.body, None).map_err(|_| Broken)
    }
}

/// A body as it comes.
pub(crate) struct Pieces {
    // As above.
    stream: InputStream,
    _body: IncomingBody,
}

impl Pieces {
    /// The pieces of a body.
    pub(crate) fn of(body: IncomingBody) -> Result<Self, Broken> {
        Ok(Self { stream: body.stream()?, _body: body })
    }

    /// Waits for the next one; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, ErrorCode> {
        match self.stream.blocking_read(READ_BYTES) {
            Ok(piece) => Ok(Some(piece)),
            Err(StreamError::Closed) => Ok(None),
            Err(StreamError::LastOperationFailed(error)) => {
                Err(http_error_code(&error).unwrap_or(ErrorCode::InternalError(None)))
            }
        }
    }
}
