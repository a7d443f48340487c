//! What systemd is to the agent: who starts it again when it ends by itself. Knows nothing of why it ended.

use crate::{Agent, AgentBuilder};

/// Starts an agent that may end at its start, again and again as systemd would (though at once), and returns it when it
/// listens, with how often it was started again. Panics when that is more than `most`.
pub fn supervised(builder: &AgentBuilder, most: u32) -> (Agent, u32) {
    let mut again = 0;
    loop {
        let mut agent = builder.spawn();
        if agent.listens() {
            return (agent, again);
        }
        again += 1;
        assert!(again <= most, "the agent ended at its start {again} times");
    }
}

/// An agent that still runs, or the one that systemd would start in its place; with how often it was started again.
pub fn kept_alive(mut agent: Agent, builder: &AgentBuilder, most: u32) -> (Agent, u32) {
    if agent.runs() {
        return (agent, 0);
    }
    let (agent, again) = supervised(builder, most.saturating_sub(1));
    (agent, again + 1)
}
