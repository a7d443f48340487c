//! Actors (being built).
use std::time::{Duration, Instant};

use twinlet_host::Messages;
use twinlet_host::messaging::{CallRet, Error, Sender};

/// All actors.
#[derive(Default)]
pub struct Actors;

impl Messages for Actors {
    fn cast(&self, _: &Sender, to: &str, _: Vec<u8>) -> Result<(), Error> {
        Err(Error::Unknown(to.to_owned()))
    }
    fn call(&self, _: &Sender, _: &str, _: &[u8], _: Instant) -> CallRet {
        CallRet::Err
    }
    fn delayed_cast(&self, _: &Sender, _: Duration, to: &str, _: Vec<u8>) -> Result<(), Error> {
        Err(Error::Unknown(to.to_owned()))
    }
    fn sync(&self, _: &Sender, _: Vec<u8>) -> Result<(), Error> {
        Err(Error::NotAnActor)
    }
}
