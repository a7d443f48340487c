//! An actor that counts what it is sent, says how much that was, and ticks; knows nothing of who sends.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use twinlet_guest::messaging::{self, SELF};
use twinlet_guest::prelude::*;
use twinlet_guest::{json, log};

actor!(Counter);

/// The function's `config`; each key may be absent.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Milliseconds from one tick to the next, 10 to 86,400,000; without it there are no ticks.
    tick_ms: Option<u64>,
    /// The name in `outputs` to which each tick casts the state.
    tick_to: Option<String>,
}

/// What is kept over crashes and restarts.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default)]
struct State {
    /// Casts so far.
    count: u64,
    /// The number of the last tick.
    ticks: u64,
}

struct Counter {
    settings: Settings,
    state: State,
}

/// What the actor casts to itself for a tick is this and the tick's number.
const TICK: &[u8] = b"tick ";

impl Actor for Counter {
    fn init(init: Init) -> Result<Self, Error> {
        let settings: Settings = init.config()?;
        if settings.tick_ms.is_some_and(|ms| !(10..=86_400_000).contains(&ms)) {
            return Err(Error::new("config: tick_ms: not from 10 to 86400000"));
        }
        let counter = Self { settings, state: init.state_json()?.unwrap_or_default() };
        // An earlier instance's timer may still be there. It has the same number, and the one that comes second is
        // passed over.
        counter.set_timer();
        Ok(counter)
    }

    fn cast(&mut self, from: &InstanceId, message: &[u8]) -> Result<(), Error> {
        match message.strip_prefix(TICK) {
            Some(number) if *from == messaging::me() => self.tick(json::parse(number)?),
            _ => {
                self.state.count = self.state.count.saturating_add(1);
                Ok(messaging::sync_json(&self.state)?)
            }
        }
    }

    fn call(&mut self, _from: &InstanceId, message: &[u8]) -> Result<Reply, Error> {
        match message {
            b"" => {}
            b"cast" => {
                messaging::cast(SELF, "one more")?;
                return Ok(Reply::none());
            }
            b"reset" => {
                self.state.count = 0;
                messaging::sync_json(&self.state)?;
            }
            _ => return Err(Error::new("a call is empty, `cast` or `reset`")),
        }
        Ok(Reply::json(&self.state)?)
    }

    fn stop(&mut self) {
        log::info!("stopped at {}", self.state.count);
    }
}

impl Counter {
    fn tick(&mut self, number: u64) -> Result<(), Error> {
        // A timer fires at least once, and there may be two of a number: only the first counts.
        if self.settings.tick_ms.is_none() || number <= self.state.ticks {
            return Ok(());
        }
        self.state.ticks = number;
        self.set_timer();
        messaging::sync_json(&self.state)?;
        match &self.settings.tick_to {
            Some(name) => Ok(messaging::cast_json(name, &self.state)?),
            None => Ok(()),
        }
    }

    fn set_timer(&self) {
        let Some(tick_ms) = self.settings.tick_ms else { return };
        let number = self.state.ticks.saturating_add(1).to_string();
        let message = [TICK, number.as_bytes()].concat();
        if let Err(error) = messaging::delayed_cast(Duration::from_millis(tick_ms), SELF, message) {
            log::error!("no next tick: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
