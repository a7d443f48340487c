//! What the device itself must offer: address space, a compiler, the time.

use std::fs::File;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use twinlet_host::wall::{RELEASE_UNIX_MS, kernel_is_synchronised};

use super::finding::Finding;
use super::{DEADLINE, Given};
use crate::cli::scratch::Scratch;
use crate::compile::jail::Jail;
use crate::compile::{CompileError, Compiler};
use crate::engine::{Pool, Runtime};

const SPACE: &str = "address space";
const COMPILER: &str = "compiler";
const JAIL: &str = "compile jail";
const CLOCK: &str = "clock";

/// The least component that gives the compiler something to do: a core module with one function, in nothing.
const TINY: &[u8] = b"\0asm\x0d\0\x01\0\x01\x23\
    \0asm\x01\0\0\0\
    \x01\x06\x01\x60\x01\x7f\x01\x7f\
    \x03\x02\x01\0\
    \x07\x05\x01\x01f\0\0\
    \x0a\x06\x01\x04\0\x20\0\x0b";

/// Sets the engine up as the agent does.
pub(super) fn address_space(given: &Given) -> Vec<Finding> {
    let pages = given.config.guests.max_memory_pages;
    vec![match Runtime::new(pages) {
        Err(error) => Finding::wrong(SPACE, error.to_string()),
        Ok(runtime) => match runtime.pool() {
            Pool::Reserved => Finding::ok(SPACE, "enough for a pool of instances"),
            Pool::TooLarge => {
                let why = format!(
                    "no pool of instances with max_memory_pages {pages}: each takes memory of its own"
                );
                Finding::ok(SPACE, why)
            }
            Pool::NoRoom(why) => Finding::warning(
                SPACE,
                format!("too little for a pool of instances, so that they start slower: {why}"),
            ),
        },
    }]
}

/// Compiles a tiny component in a child, with the limits of the settings, and maps what comes of it.
pub(super) fn compiler(given: &Given) -> Vec<Finding> {
    if !cfg!(feature = "compiler") {
        let text = "this build has none: it runs only what was compiled elsewhere";
        return vec![Finding::warning(COMPILER, text)];
    }
    match compile(given) {
        Err(why) => vec![Finding::wrong(COMPILER, why)],
        Ok((text, jail)) => vec![Finding::ok(COMPILER, text), jailed(jail)],
    }
}

/// What keeps the compiler from the rest of the device, beside its limits.
fn jailed(jail: Jail) -> Finding {
    if jail.is_whole() {
        Finding::ok(JAIL, jail.to_string())
    } else {
        Finding::warning(JAIL, format!("less than a newer kernel offers: {jail}"))
    }
}

fn compile(given: &Given) -> Result<(String, Jail), String> {
    let failed = |error: std::io::Error| format!("a file for the compiler: {error}");
    let scratch = Scratch::new().map_err(failed)?;
    let (wasm, out) = (scratch.path().join("tiny.wasm"), scratch.path().join("tiny.cwasm"));
    std::fs::write(&wasm, TINY).and_then(|()| File::create_new(&out)).map_err(failed)?;
    let compiler = Compiler::new(&given.config.guests).map_err(|error| error.to_string())?;
    let began = Instant::now();
    // A little less than the check has, so that the child ends with it.
    let patience = DEADLINE.mul_f32(0.9);
    let memory = given.config.guests.compile_memory_bytes >> 20;
    let jail =
        compiler.compile(&wasm, &out, &|| began.elapsed() > patience).map_err(|error| match error {
            CompileError::Superseded => format!("a tiny component took more than {} s", patience.as_secs()),
            error => format!("a tiny component, within compile_memory_mb {memory}: {error}"),
        })?;
    let took = began.elapsed().as_millis();
    let runtime = Runtime::new(given.config.guests.max_memory_pages).map_err(|error| error.to_string())?;
    // SAFETY: our own compiler has just written the file into a directory that is open to this user alone.
    unsafe { runtime.map(&out) }.map_err(|error| error.to_string())?;
    Ok((format!("a tiny component compiles within compile_memory_mb {memory}, in {took} ms"), jail))
}

/// Whether the time can be right.
pub(super) fn clock(_: &Given) -> Vec<Finding> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let too_early = now.as_millis() < u128::from(RELEASE_UNIX_MS);
    vec![if too_early {
        let text = "before this release was made: set the time; until then certificates are verified as of the last \
                    time that was certain";
        Finding::warning(CLOCK, text)
    } else if kernel_is_synchronised() {
        Finding::ok(CLOCK, "kept by a time source")
    } else {
        Finding::warning(CLOCK, "plausible, but no time source keeps it (NTP or the like)")
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiny_component_is_one() -> wasmtime::Result<()> {
        wasmtime::component::Component::new(&wasmtime::Engine::default(), TINY).map(drop)
    }
}
