//! `/openapi.json`: the API described for machines.

use super::super::Service;
use super::super::answer::{Answer, Failure};
use super::Call;

pub(super) fn document(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Err(Failure::NoRoute)
}
