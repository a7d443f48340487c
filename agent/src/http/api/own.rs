//! The agent's own operations, below `/twinlet/`: what the command line asks for.

use super::super::Service;
use super::super::answer::{Answer, Failure};
use super::Call;

pub(super) fn status(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn functions(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn deploy(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn remove(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn why(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn logs(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}
