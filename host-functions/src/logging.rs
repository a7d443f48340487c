//! `wasi:logging/logging` and guests' stdout and stderr: lines in the agent's log, escaped, cut and rate-limited, so
//! that no guest can forge a line of another, fill a disk or drown its neighbours.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::Guest;
use crate::bindings::wasi::logging::logging::{Host, Level};
use crate::bucket::Bucket;
use crate::printed::Printed;

/// Bytes of one message; the rest is cut.
const MAX_LINE_BYTES: usize = 4_096;
/// Bytes that a guest may write at once.
const WRITE_BYTES: usize = 64 << 10;
/// Lines a second, and as many at once.
const LINES_PER_SECOND: u32 = 100;

/// One function's lines in the agent's log, under the target `guest`.
pub struct GuestLog {
    function_id: String,
    rate: Mutex<Rate>,
}

struct Rate {
    bucket: Bucket,
    dropped: u64,
}

impl GuestLog {
    /// The log of one function.
    pub fn new(function_id: &str) -> Arc<Self> {
        let bucket = Bucket::new(LINES_PER_SECOND, LINES_PER_SECOND, Instant::now());
        Arc::new(Self { function_id: function_id.to_owned(), rate: Mutex::new(Rate { bucket, dropped: 0 }) })
    }

    pub(crate) fn write(&self, level: log::Level, context: &str, message: &str) {
        if !log::log_enabled!(target: "guest", level) {
            return;
        }
        let Some(dropped) = self.admits() else { return };
        let id = &self.function_id;
        if dropped > 0 {
            log::warn!(target: "guest", "{id}: {dropped} lines dropped, past {LINES_PER_SECOND} a second");
        }
        let separator = if context.is_empty() { "" } else { ": " };
        log::log!(target: "guest", level, "{id}: {}{separator}{}", escaped(context), escaped(message));
    }

    /// Whether one more line may be written, and how many were dropped before it.
    fn admits(&self) -> Option<u64> {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if !rate.bucket.take(Instant::now()) {
            rate.dropped += 1;
            return None;
        }
        Some(std::mem::take(&mut rate.dropped))
    }

    /// A stream whose lines become messages of this level.
    /// Whatever is written to it is `printed` as well.
    pub(crate) fn stream(self: &Arc<Self>, level: log::Level, printed: Printed) -> GuestStream {
        GuestStream { log: self.clone(), level, printed }
    }
}

impl Host for Guest {
    fn log(&mut self, level: Level, context: String, message: String) {
        self.throttle(context.len() + message.len());
        let level = match level {
            Level::Trace => log::Level::Trace,
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error | Level::Critical => log::Level::Error,
        };
        self.environment.log.write(level, &context, &message);
    }
}

/// Text from a guest with its control characters escaped, cut at 4,096 bytes.
pub fn escaped(text: &str) -> String {
    let cut = text.floor_char_boundary(MAX_LINE_BYTES);
    let mut line = String::with_capacity(cut.min(text.len()) + 1);
    for c in text.chars().scan(0, |bytes, c| {
        *bytes += c.len_utf8();
        (*bytes <= cut).then_some(c)
    }) {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    if cut < text.len() {
        line.push('…');
    }
    line
}

/// A guest's stdout or stderr.
pub(crate) struct GuestStream {
    log: Arc<GuestLog>,
    level: log::Level,
    printed: Printed,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.lines())
    }

    // Written where the guest runs, and not by a task on the agent's runtime, which a guest that prints all the time
    // would keep busy.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.lines())
    }
}

impl GuestStream {
    fn lines(&self) -> Lines {
        Lines { log: self.log.clone(), level: self.level, printed: self.printed.clone(), partial: Vec::new() }
    }
}

/// Splits what is written into lines. Never waits.
struct Lines {
    log: Arc<GuestLog>,
    level: log::Level,
    printed: Printed,
    partial: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        self.printed.take(bytes);
        for &byte in bytes {
            if byte == b'\n' {
                self.emit();
            } else if self.partial.len() <= MAX_LINE_BYTES {
                self.partial.push(byte);
            }
        }
    }

    fn emit(&mut self) {
        if !self.partial.is_empty() {
            self.log.write(self.level, "", &String::from_utf8_lossy(&self.partial));
            self.partial.clear();
        }
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::trap("more bytes than check-write permits"));
        }
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.emit();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.emit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_forge_a_line() {
        assert_eq!(escaped("a\nERROR b\u{1b}[0m"), "a\\nERROR b\\u{1b}[0m");
        assert_eq!(escaped("grüße"), "grüße");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let line = escaped(&"ü".repeat(MAX_LINE_BYTES));
        assert_eq!(line.chars().count(), MAX_LINE_BYTES / 2 + 1);
        assert!(line.ends_with('…'));
    }

    #[test]
    fn a_flood_of_lines_is_dropped_and_counted() {
        let log = GuestLog::new("function");
        let before = Instant::now();
        let passed = (0..10_000).filter(|_| log.admits().is_some()).count();
        let gained = usize::try_from(before.elapsed().as_millis() / 10).unwrap() + 1;
        let most = LINES_PER_SECOND as usize + gained;
        assert!((LINES_PER_SECOND as usize..=most).contains(&passed), "{passed}");
        let mut dropped = 10_000 - passed as u64;
        let told = loop {
            match log.admits() {
                Some(told) => break told,
                None => dropped += 1,
            }
        };
        assert_eq!(told, dropped, "the next line tells how many");
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut lines = GuestLog::new("function").stream(log::Level::Info, Printed::default()).lines();
        for _ in 0..100 {
            OutputStream::write(&mut lines, vec![b'x'; WRITE_BYTES].into()).unwrap();
        }
        assert!(lines.partial.len() <= MAX_LINE_BYTES + 1);
        let refused = OutputStream::write(&mut lines, vec![b'x'; WRITE_BYTES + 1].into());
        assert!(matches!(refused, Err(StreamError::Trap(_))));
    }
}
