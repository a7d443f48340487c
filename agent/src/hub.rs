//! What goes between this node and its hub, whatever carries it. Pure data.

/// What the reporter has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// To `edge/heartbeat/{node_id}`, not retained.
    Heartbeat(Vec<u8>),
    /// To `edge/twin/{node_id}/reported`, retained.
    Reported(Vec<u8>),
}

/// The state of the connection to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Not connected; `error` is why the last attempt or connection ended, `None` before the first and after a stop.
    Down {
        /// One line for people.
        error: Option<String>,
    },
    /// Connected and subscribed. Whoever publishes state publishes it again when `session` changes.
    Up {
        /// Counts connections since the start, from 1.
        session: u64,
    },
}
