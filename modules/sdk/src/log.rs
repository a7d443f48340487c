//! Lines in the agent's log, by macros as the `log` crate has them.
//!
//! ```
//! use twinlet_guest::log;
//!
//! let host = twinlet_guest::testing::Host::new();
//! log::warn!("sensor {} is silent", 7);
//! assert_eq!(host.logs()[0].message, "sensor 7 is silent");
//! ```
//!
//! The agent escapes control characters, cuts a line at 4,096 bytes, and drops what is more than 100 lines a second.

use std::fmt;

use crate::agent;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For following a program step by step.
    Trace,
    /// For debugging.
    Debug,
    /// For monitoring normal operation.
    Info,
    /// Something unexpected that needs no action yet.
    Warn,
    /// Something that failed.
    Error,
    /// Something that stops the program.
    Critical,
}

/// Writes one line; what the macros expand to. `context` groups lines, and is the calling module's path there.
pub fn write(level: Level, context: &str, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(literal) => agent::log(level, context, literal),
        None => agent::log(level, context, &fmt::format(message)),
    }
}

/// As [`write`], of a text that is whole already; saves a small guest the formatting code.
pub(crate) fn write_text(level: Level, context: &str, message: &str) {
    agent::log(level, context, message);
}

/// From now on a panic writes its message and its place to the log before it ends the call; without this, the operator
/// sees a bare trap. Costs some kilobytes of formatting code. Call it first thing in the function.
pub fn panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| write(Level::Critical, "panic", format_args!("{info}"))));
    });
}

macro_rules! macros {
    ($dollar:tt $($hidden:ident $name:ident $level:ident $doc:literal;)+) => {
        $(
            #[doc(hidden)]
            #[macro_export]
            macro_rules! $hidden {
                ($dollar($dollar arg:tt)+) => {
                    $dollar crate::log::write(
                        $dollar crate::log::Level::$level,
                        ::core::module_path!(),
                        ::core::format_args!($dollar($dollar arg)+),
                    )
                };
            }

            #[doc = $doc]
            #[doc(inline)]
            pub use $hidden as $name;
        )+
    };
}

macros! {
    $
    __log_trace trace Trace "Writes a line for following a program step by step.";
    __log_debug debug Debug "Writes a line for debugging.";
    __log_info info Info "Writes a line for monitoring normal operation.";
    __log_warn warn Warn "Writes a line about something unexpected that needs no action yet.";
    __log_error error Error "Writes a line about something that failed.";
    __log_critical critical Critical "Writes a line about something that stops the program.";
}
