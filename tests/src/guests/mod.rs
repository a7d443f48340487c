//! Components for the tests: the committed samples, and ones that behave, are odd or are hostile, made here from
//! `guests/**/*.wat`. Knows only the WIT in `wit/` of what runs them.
//!
//! | module | what it makes |
//! | --- | --- |
//! | this | functions that answer requests, well or badly |
//! | [`actors`] | functions with a mailbox |
//! | [`middleware`] | functions before and after others |
//! | [`proxy`] | components of `wasi:http/proxy`, that know nothing of twinlet |
//! | [`hostile`] | functions that take what they can get |
//! | [`bombs`] | components that take a compiler what they can get |
//! | `encode` | components from text |

pub mod actors;
pub mod bombs;
mod encode;
pub mod hostile;
pub mod middleware;
pub mod proxy;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use encode::{component, module, wat, with_text};

/// A committed sample module, such as `hello-http`.
pub fn prebuilt(name: &str) -> Vec<u8> {
    let file = repository().join("modules/prebuilt").join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Answers 200 with `text`.
pub fn answers(text: &str) -> Vec<u8> {
    component(&with_text(wat!("answers"), text))
}

/// Answers 200 with so many zero bytes.
pub fn answers_long(bytes: usize) -> Vec<u8> {
    component(&wat!("answers_long").replace("@LEN@", &bytes.to_string()))
}

/// Answers 200 with `text` after `ms` milliseconds of computing.
pub fn dawdles(ms: u32, text: &str) -> Vec<u8> {
    component(&with_text(wat!("dawdles"), text).replace("@MS@", &ms.to_string()))
}

/// Sends back what came: body and headers as they are, the rest as headers `seen-method`, `-path`, `-query`, `-host`,
/// `-id` and `-param` (of the first param).
pub fn mirrors(status: u16) -> Vec<u8> {
    component(&wat!("mirrors").replace("@STATUS@", &status.to_string()))
}

/// Answers with one byte: how many requests this instance has had.
pub fn counts() -> Vec<u8> {
    component(wat!("counts"))
}

/// Takes memory until it is refused, and answers with the number of pages as four little-endian bytes.
pub fn grows() -> Vec<u8> {
    component(wat!("grows"))
}

/// Calls the output `to` with the request's body: answers 200 with the reply, 204 for `noreply`, 502 for `err`.
pub fn forwards() -> Vec<u8> {
    component(wat!("forwards"))
}

/// Casts the request's body to the output `to`: answers 202 where it was taken, else 503 with the error's case as a
/// decimal number (0 unknown, 1 full, 2 too large, 3 rate-limited, 4 not an actor, 5 storage).
pub fn casts() -> Vec<u8> {
    component(wat!("casts"))
}

/// Casts to the output `to` so many times in one request, then calls it, so that the actor has had them all when the
/// answer comes: in decimal digits, how many were taken.
pub fn casts_often(times: u32) -> Vec<u8> {
    component(&wat!("casts_often").replace("@TIMES@", &times.to_string()))
}

/// Calls the output `to` so many times in one request, one after the other, and answers in decimal digits how many had a
/// reply.
pub fn calls_often(times: u32) -> Vec<u8> {
    component(&wat!("calls_often").replace("@TIMES@", &times.to_string()))
}

/// Prints the request's body (at most 4,096 bytes) so many times to stdout, then its path to stderr, and answers
/// `printed`.
pub fn prints(times: u32) -> Vec<u8> {
    component(&wat!("prints").replace("@TIMES@", &times.to_string()))
}

/// Sends the request's body to the hub: answers 200 with its sequence number in decimal digits, else 503 with the error's
/// case as one (0 not permitted, 1 too large, 2 rate-limited, 3 storage).
pub fn sends() -> Vec<u8> {
    component(wat!("sends"))
}

/// Gets `url`, and answers 200 with the status as a decimal number, or 502 with the error's case as one (0 not permitted,
/// 1 invalid request, 2 unreachable, 3 TLS, 4 time-out, 5 too large, 6 rate-limited).
pub fn fetches(url: &str) -> Vec<u8> {
    component(&with_text(wat!("fetches"), url))
}

/// Answers the seconds since 1970 by `twinlet:device/clock`. The status is 200 where the clock is not to be trusted at
/// all, 201 where it is plausible, 202 where a time source keeps it.
pub fn tells_time() -> Vec<u8> {
    component(wat!("tells_time"))
}

/// Keeps a request's body by `wasi:keyvalue` where it has one, and answers 200 with what is kept now, or 404.
pub fn keeps() -> Vec<u8> {
    component(wat!("keeps"))
}

/// Answers 200 with what `wasi:config` has under the key that the request's body names, or 404.
pub fn configured() -> Vec<u8> {
    component(wat!("configured"))
}

/// Never answers.
pub fn spins() -> Vec<u8> {
    component(wat!("spins"))
}

/// Never starts.
pub fn spins_at_start() -> Vec<u8> {
    component(wat!("spins_at_start"))
}

/// Traps at each call.
pub fn traps() -> Vec<u8> {
    component(wat!("traps"))
}

/// Traps at start.
pub fn traps_at_start() -> Vec<u8> {
    component(wat!("traps_at_start"))
}

/// Returns an error with `text`.
pub fn returns_error(text: &str) -> Vec<u8> {
    component(&with_text(wat!("returns_error"), text))
}

/// Overflows its stack at each call.
pub fn recurses() -> Vec<u8> {
    component(wat!("recurses"))
}

/// Imports `acme:unknown/thing@1.0.0`, which no agent offers.
pub fn imports_unknown() -> Vec<u8> {
    component(wat!("imports_unknown"))
}

/// A valid WebAssembly module that is no component.
pub fn not_a_component() -> Vec<u8> {
    module(&with_text(wat!("answers"), "never"))
}

/// Bytes that are no WebAssembly at all; always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// A component that does the same, and is so many bytes longer.
pub fn padded(mut component: Vec<u8>, bytes: usize) -> Vec<u8> {
    // A custom section: 0, its length as LEB128, its name `pad` with a length of its own, and what it holds.
    component.push(0);
    let mut length = bytes + 4;
    while length >= 0x80 {
        component.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    component.push(u8::try_from(length).unwrap());
    component.extend_from_slice(b"\x03pad");
    component.extend(noise(bytes));
    component
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
