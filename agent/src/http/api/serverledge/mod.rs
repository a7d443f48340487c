//! Serverledge's API, mapped to components.

use std::sync::Arc;
use std::time::Instant;

use super::super::answer::{Answer, Failure};
use super::super::{Outgoing, Reply, Service};
use super::Call;

pub(super) fn create(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn delete(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn invoke(_: &Arc<Service>, call: Call, reply: Reply) -> Option<Instant> {
    reply(Outgoing::Whole(Failure::NoRoute.answer(&call.request_id)));
    None
}

pub(super) fn poll(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn prewarm(_: &Service, _: &mut Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn status(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}

pub(super) fn functions(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}
