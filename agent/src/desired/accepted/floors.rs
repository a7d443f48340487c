//! Below which version a function does not go, even after it was away: the highest that came with a signature. Without
//! one, what stands is all there is, and that is not kept here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::desired::FunctionId;

/// Functions that are remembered.
const MAX_REMEMBERED: usize = 1_024;

/// The versions by function, as they are stored: those whose functions went the longest ago come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Floors(Vec<(String, u64)>);

impl Floors {
    /// The floor of a function.
    pub(super) fn of(&self, id: &FunctionId) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == id.as_str()).map(|(_, version)| *version)
    }

    /// The floors once these functions stand, each of which came with a valid signature. Where there are more than can
    /// be remembered, those that went the longest ago are forgotten.
    pub(super) fn with<'a>(&self, signed: impl Iterator<Item = (&'a FunctionId, u64)>) -> Self {
        let standing: BTreeMap<&str, u64> = signed.map(|(id, version)| (id.as_str(), version)).collect();
        let gone = self.0.iter().filter(|(id, _)| !standing.contains_key(id.as_str())).cloned();
        let stands = standing.iter().map(|(id, version)| ((*id).to_owned(), *version));
        let mut all: Vec<_> = gone.chain(stands).collect();
        all.drain(..all.len().saturating_sub(MAX_REMEMBERED));
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FunctionId {
        text.parse().unwrap()
    }

    #[test]
    fn a_function_that_is_away_keeps_its_floor() {
        let (a, b) = (id("a"), id("b"));
        let both = Floors::default().with([(&a, 3), (&b, 5)].into_iter());
        let one = both.with([(&b, 6)].into_iter());
        assert_eq!((one.of(&a), one.of(&b), one.of(&id("c"))), (Some(3), Some(6), None));
        assert_eq!(one.with([(&b, 2)].into_iter()).of(&b), Some(2), "who may go down takes the floor along");
    }

    #[test]
    fn the_longest_gone_are_forgotten_first() {
        let mut floors = Floors::default();
        let ids: Vec<FunctionId> = (0..=MAX_REMEMBERED).map(|n| id(&format!("f{n}"))).collect();
        for one in &ids {
            floors = floors.with([(one, 1), (&id("stays"), 1)].into_iter());
        }
        assert_eq!(floors.0.len(), MAX_REMEMBERED);
        let known: Vec<bool> = [&ids[0], &ids[1], &ids[2], &id("stays"), &ids[MAX_REMEMBERED]]
            .map(|id| floors.of(id).is_some())
            .into();
        assert_eq!(known, [false, false, true, true, true]);
    }
}
