//! What a guest prints to stdout and stderr during one call, for a caller who asks for it. The log gets its lines all
//! the same, see [`crate::logging`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of what is collected as text, the note that it was cut included.
pub const MAX_BYTES: usize = 64 << 10;
/// Stands at the end of what was cut.
const CUT: &str = "\n[cut at 64 KiB]";

/// Where the streams of one instance put what is written to them; handles are the same place.
#[derive(Clone, Default)]
pub(crate) struct Printed(Arc<Mutex<Option<Vec<u8>>>>);

impl Printed {
    /// Collects from now on, and begins with nothing.
    pub(crate) fn begin(&self) {
        *self.lock() = Some(Vec::new());
    }

    /// Takes bytes, where someone asked for them.
    pub(crate) fn take(&self, bytes: &[u8]) {
        if let Some(collected) = &mut *self.lock() {
            // One byte more than is told, so that the end knows of the rest.
            let room = (MAX_BYTES + 1).saturating_sub(collected.len());
            collected.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// Collects no more; what there is, as text.
    pub(crate) fn end(&self) -> String {
        text(self.lock().take().unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Valid UTF-8 of at most [`MAX_BYTES`], whatever the guest has written.
fn text(bytes: Vec<u8>) -> String {
    let mut text =
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES - CUT.len()));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_printed_between_begin_and_end_is_told() {
        let printed = Printed::default();
        printed.take(b"before");
        printed.begin();
        printed.clone().take(b"during\n");
        assert_eq!(printed.end(), "during\n");
        printed.take(b"after");
        assert_eq!(printed.end(), "");
        printed.begin();
        assert_eq!(printed.end(), "", "nothing of the call before");
    }

    #[test]
    fn what_is_told_is_text_of_a_bounded_length_and_says_when_it_was_cut() {
        for (byte, times) in [(&b"x"[..], 1 << 20), (b"\xff", 60_000), ("ü".as_bytes(), 40_000)] {
            let printed = Printed::default();
            printed.begin();
            (0..times).for_each(|_| printed.take(byte));
            let text = printed.end();
            assert!(text.len() <= MAX_BYTES, "{}", text.len());
            assert!(text.ends_with(CUT), "{byte:?}");
        }
        let printed = Printed::default();
        printed.begin();
        printed.take(&vec![b'x'; MAX_BYTES]);
        assert_eq!(printed.end().len(), MAX_BYTES, "what just fits is not cut");
    }
}
