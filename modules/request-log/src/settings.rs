//! What config asks to be changed in answers; knows nothing of logs.

use std::collections::BTreeMap;

use serde::Deserialize;
use twinlet_guest::middleware::Modification;
use twinlet_guest::{Action, Error, twin};

/// The function's `config`; each key may be absent.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Headers for every answer; by default `x-served-by: twinlet`.
    headers: BTreeMap<String, String>,
    /// Statuses, and which to answer in their place; by default none.
    statuses: BTreeMap<u16, u16>,
}

impl Default for Settings {
    fn default() -> Self {
        let headers = BTreeMap::from([("x-served-by".to_owned(), "twinlet".to_owned())]);
        Self { headers, statuses: BTreeMap::new() }
    }
}

impl Settings {
    pub(crate) fn from_twin() -> Result<Self, Error> {
        let settings: Self = twin::config()?;
        let wrong = settings.statuses.iter().find(|(_, to)| !(200..600).contains(*to));
        match wrong {
            Some((from, to)) => {
                Err(Error::new(format!("config: statuses: {from} to {to}: not from 200 to 599")))
            }
            None => Ok(settings),
        }
    }

    /// What is changed in an answer of a status.
    pub(crate) fn modification(&self, status: u16) -> Modification {
        let headers = self.headers.iter();
        let change = headers.fold(Action::modify(), |change, (name, value)| change.set_header(name, value));
        match self.statuses.get(&status) {
            Some(status) => change.status(*status),
            None => change,
        }
    }
}
