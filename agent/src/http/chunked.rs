//! A streamed answer as the local door writes it, each piece when it comes. Knows HTTP/1.1's framing and nothing of who
//! reads. tiny_http's own writer gathers pieces, and gives a body that breaks off the end of a whole one.

use std::io::{self, Write};

use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use tokio::runtime::Handle;
use twinlet_host::wasi_http::HyperOutgoingBody;

use super::{Answer, MAX_WHOLE_BYTES};

/// Stands where a chunk should begin; no client takes what came before it for a whole body. The connection itself is
/// tiny_http's and cannot be cut.
const BROKEN: &[u8] = b"broken off\r\n\r\n";

/// How a client takes its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The head alone.
    Head,
    /// In chunks.
    Chunks,
    /// All at once, for HTTP/1.0.
    Whole,
}

/// Writes an answer to its end, on this thread, which may block.
pub(super) fn write(
    to: &mut impl Write,
    head: &Answer,
    mut body: HyperOutgoingBody,
    framing: Framing,
    runtime: &Handle,
) -> io::Result<()> {
    let bodiless = matches!(head.status, 204 | 304);
    match framing {
        _ if framing == Framing::Head || bodiless => {
            write_head(to, head, None)?;
            // For the guest, which does not know that nobody reads it.
            while runtime.block_on(body.frame()).is_some_and(|frame| frame.is_ok()) {}
            Ok(())
        }
        Framing::Whole => {
            let Ok(whole) = runtime.block_on(Limited::new(body, MAX_WHOLE_BYTES).collect()) else {
                return write_head(
                    to,
                    &Answer { status: 500, ..Answer::default() },
                    Some("content-length: 0"),
                );
            };
            let whole = whole.to_bytes();
            write_head(to, head, Some(&format!("content-length: {}", whole.len())))?;
            to.write_all(&whole)?;
            to.flush()
        }
        _ => {
            write_head(to, head, Some("transfer-encoding: chunked"))?;
            while let Some(frame) = runtime.block_on(body.frame()) {
                let Ok(frame) = frame else {
                    to.write_all(BROKEN)?;
                    return to.flush();
                };
                // Trailers are not passed on, and a chunk without bytes would be the last.
                let piece = frame.into_data().unwrap_or_default();
                if !piece.is_empty() {
                    write!(to, "{:x}\r\n", piece.len())?;
                    to.write_all(&piece)?;
                    to.write_all(b"\r\n")?;
                    to.flush()?;
                }
            }
            to.write_all(b"0\r\n\r\n")?;
            to.flush()
        }
    }
}

/// With how the body is framed in place of the guest's own `content-length`, where there is one.
fn write_head(to: &mut impl Write, head: &Answer, framing: Option<&str>) -> io::Result<()> {
    let reason = StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
    write!(to, "HTTP/1.1 {} {}\r\n", head.status, reason.unwrap_or_default())?;
    for (name, value) in &head.headers {
        if framing.is_none() || name != "content-length" {
            to.write_all(name.as_bytes())?;
            to.write_all(b": ")?;
            to.write_all(value)?;
            to.write_all(b"\r\n")?;
        }
    }
    if let Some(framing) = framing {
        write!(to, "{framing}\r\n")?;
    }
    to.write_all(b"\r\n")?;
    to.flush()
}
