//! Damage of every file of the state directory, one at a time: the agent starts, has its name, and serves the desired
//! state that it accepted last, without a hub.
