//! sgl-router's `/wasm`: middleware by the file it is in.

use super::super::Service;
use super::super::answer::{Answer, Failure};
use super::Call;

pub(super) fn add(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn list(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn remove(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}
