//! Components of `wasi:http/proxy` that do what the sample `hello-proxy` would not.

use super::encode::{component, wat};

/// What one of them does with each request. None reads the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Computes for ever.
    Spin,
    /// Sleeps for an hour.
    Sleep,
    /// Traps before there is a response.
    Trap,
    /// Returns without a response.
    SayNothing,
    /// Answers with the error `loop-detected`.
    Refuse,
    /// Sends `half` of a response, and traps.
    HalfThenTrap,
    /// Sends `half` of a response, and returns.
    HalfThenLeave,
    /// Sends `half` of a response, and sleeps for an hour.
    HalfThenSleep,
    /// Sends `half` ten times as a whole response, with pauses, and traps where that fails.
    Slow,
    /// Writes a response without end, until that fails.
    Flood,
    /// Sends `half` as a whole response, and keeps every handle that it has: six more with each request.
    Keep,
    /// Sends `half` as a whole response, then computes for ever.
    AnswerThenSpin,
    /// Sends `half` as a whole response, with the headers of the request.
    Mirror,
}

/// A component that does so.
pub fn does(way: Way) -> Vec<u8> {
    let code = match way {
        Way::Spin => "(call $spin)",
        Way::Sleep => "(call $sleep)",
        Way::Trap => "unreachable",
        Way::SayNothing => "",
        Way::Refuse => "(call $refuse)",
        Way::HalfThenTrap => "(call $half) unreachable",
        Way::HalfThenLeave => "(call $half) (call $close)",
        Way::HalfThenSleep => "(call $half) (call $sleep)",
        Way::Slow => "(call $half) (call $nine-more) (call $close) (call $finish)",
        Way::Flood => "(call $half) (call $flood)",
        Way::Keep => {
            "(drop (call $fields)) (drop (call $fields)) (drop (call $fields))
             (call $open-request (local.get $request)) (call $half) (call $close) (call $finish)"
        }
        Way::Mirror => {
            "(global.set $headers (call $clone (call $headers-of (local.get $request))))
             (call $half) (call $close) (call $finish)"
        }
        Way::AnswerThenSpin => "(call $half) (call $close) (call $finish) (call $spin)",
    };
    component(&wat!("proxy").replace("@WAY@", code))
}
