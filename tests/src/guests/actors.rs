//! Actors. Unless it says otherwise, each counts its casts, keeps the count as its state in decimal digits, begins with
//! the state that it is given, answers a call with the count in decimal digits, and does nothing at its stop.

use super::encode::{component, wat, with_text};

/// What a fixture does in an event that it does not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Traps.
    Trap,
    /// Never comes back.
    Spin,
}

/// One of an actor's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first.
    Init,
    /// A message that nobody waits for.
    Cast,
    /// A message whose sender waits.
    Call,
    /// The last.
    Stop,
}

impl Break {
    pub(super) fn wat(self) -> &'static str {
        match self {
            Self::Trap => "(unreachable)",
            Self::Spin => "(loop $ever (br $ever)) (unreachable)",
        }
    }
}

/// Counts its casts.
pub fn counts_casts() -> Vec<u8> {
    actor("")
}

/// Answers a call with its message.
pub fn echoes() -> Vec<u8> {
    actor(wat!("actor/echoes"))
}

/// Answers a call with `noreply`.
pub fn says_nothing() -> Vec<u8> {
    actor(wat!("actor/says_nothing"))
}

/// Answers a call with `err`.
pub fn fails() -> Vec<u8> {
    actor(wat!("actor/fails"))
}

/// Answers a call with who sent it, as `node/function`.
pub fn tells_source() -> Vec<u8> {
    actor(wat!("actor/tells_source"))
}

/// Traps at the message `text`, cast or called.
pub fn traps_on(text: &str) -> Vec<u8> {
    breaks_on(text, Break::Trap)
}

/// Never comes back from the message `text`, cast or called.
pub fn spins_on(text: &str) -> Vec<u8> {
    breaks_on(text, Break::Spin)
}

/// Traps or never comes back in every event of one kind.
pub fn breaks_in(event: Event, how: Break) -> Vec<u8> {
    let function = match event {
        Event::Init => "$init (param i32 i32 i32)",
        Event::Cast => "$cast (param i32 i32)",
        Event::Call => "$call (param i32 i32) (result i32)",
        Event::Stop => "$stop",
    };
    actor(&wat!("actor/breaks_in").replace("@EVENT@", function).replace("@BREAK@", how.wat()))
}

/// Passes a call on to the output `name`, and answers what came; the text `err` for `err`.
pub fn calls(name: &str) -> Vec<u8> {
    actor(&with_text(wat!("actor/calls"), name))
}

/// Calls itself when it is called, and answers what came; the text `err` for `err`.
pub fn calls_itself() -> Vec<u8> {
    calls("self")
}

/// Answers the call `count` with its count; makes any other a cast to the output `name` (or `self`) after `ms`
/// milliseconds, and answers `ok` or the error's case as a decimal number, as [`super::casts`] does.
pub fn casts_later(ms: u64, name: &str) -> Vec<u8> {
    actor(&with_text(wat!("actor/casts_later"), name).replace("@MS@", &ms.to_string()))
}

/// Makes a call a cast to itself after `ms` milliseconds, and answers `ok` or the error's case as a decimal number, as
/// [`super::casts`] does; sends what is cast to it to the hub, and traps where that is not taken.
pub fn sends_later(ms: u64) -> Vec<u8> {
    actor(&wat!("actor/sends_later").replace("@MS@", &ms.to_string()))
}

/// Counts its casts, and keeps nothing.
pub fn counts_in_memory() -> Vec<u8> {
    actor(wat!("actor/counts_in_memory"))
}

/// At its stop keeps `stopped` as its state and sends it as telemetry; answers a call with the state that it began with,
/// or with `none`. Casts count, and keep the count.
pub fn reports_stop() -> Vec<u8> {
    actor(wat!("actor/reports_stop"))
}

fn breaks_on(text: &str, how: Break) -> Vec<u8> {
    actor(&with_text(wat!("actor/breaks_on"), text).replace("@BREAK@", how.wat()))
}

/// A fixture in the actors' frame, which has a function of its own for each event that the fixture has none for.
pub(super) fn actor(body: &str) -> Vec<u8> {
    let mut parts = wat!("actor/frame").split(";;UNLESS ");
    let mut whole = format!("{}{body}", parts.next().unwrap_or_default());
    for part in parts {
        let (name, function) = part.split_once('\n').unwrap();
        if !body.contains(&format!("(func {name}")) {
            whole.push_str(function);
        }
    }
    component(&whole)
}
