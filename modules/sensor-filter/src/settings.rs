//! The filter's settings as the device twin has them; knows nothing of readings.

use serde::{Deserialize, Serialize};
use twinlet_guest::{Error, twin};

use crate::filter::Rule;

/// The function's `config`. A key that is absent has its default; one that is unknown is refused, since it is most
/// likely misspelt.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The least smoothed value that passes; default 20.
    threshold: f64,
    /// How far below the threshold a sensor that passed must fall before it no longer passes; default 0.
    hysteresis: f64,
    /// Over how many of a sensor's last readings to take the mean, 1 to 64; default 1, which smooths nothing.
    window: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 20.0, hysteresis: 0.0, window: 1 }
    }
}

impl Settings {
    /// Reads them from the twin. What is wrong with them is the operator's affair, not the client's.
    pub(crate) fn from_twin() -> Result<Self, Error> {
        let settings: Self = twin::config()?;
        if settings.hysteresis < 0.0 {
            return Err(Error::new("config: hysteresis: less than 0"));
        }
        if !(1..=64).contains(&settings.window) {
            return Err(Error::new("config: window: not from 1 to 64"));
        }
        Ok(settings)
    }

    pub(crate) fn rule(self) -> Rule {
        Rule { threshold: self.threshold, hysteresis: self.hysteresis, window: usize::from(self.window) }
    }
}
