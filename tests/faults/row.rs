//! A row of the table: one kind of fault, how often it is tried, and what it is tried on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use twinlet_tests::AgentBuilder;
use twinlet_tests::dice::Dice;

/// One kind of fault.
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is called in the table.
    pub(crate) fault: &'static str,
    /// Tries of the short form.
    pub(crate) short: u32,
    /// Tries of the full form.
    pub(crate) full: u32,
    /// Tries that share a bed, one after the other. A new one is made for the next.
    pub(crate) per_bed: u32,
    /// Tries that are made together.
    pub(crate) at_once: u32,
    /// Why it can not be tried on this machine, if it can not.
    pub(crate) left_out: fn() -> Option<String>,
    /// Prepares.
    pub(crate) bed: fn() -> Box<dyn Bed>,
}

/// Everything that a fault is tried on: an agent, and what is around it.
pub(crate) trait Bed {
    /// Brings the fault about for each number of these tries, and sees to it that nothing is broken. A panic is a try
    /// that failed.
    fn attempt(&mut self, tries: &mut Tries<'_>);

    /// Sees to it that nothing was broken over all tries.
    fn finish(self: Box<Self>, _notes: &mut Notes) {}
}

/// The tries of one attempt.
pub(crate) struct Tries<'a> {
    seed: u64,
    row: &'static str,
    numbers: Range<u32>,
    /// The one that failed, where that is known.
    blamed: Option<u32>,
    /// What is worth telling.
    pub(crate) notes: &'a mut Notes,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(seed: u64, row: &'static str, numbers: Range<u32>, notes: &'a mut Notes) -> Self {
        Self { seed, row, numbers, blamed: None, notes }
    }

    /// The numbers of the tries.
    pub(crate) fn numbers(&self) -> Range<u32> {
        self.numbers.clone()
    }

    /// The number of the only try.
    pub(crate) fn number(&self) -> u32 {
        self.numbers.start
    }

    /// The dice of one of them, the same whenever it is tried with this seed.
    pub(crate) fn dice_of(&self, number: u32) -> Dice {
        Dice::of_try(self.seed, self.row, number)
    }

    /// The dice of the only try.
    pub(crate) fn dice(&self) -> Dice {
        self.dice_of(self.number())
    }

    /// From here on a panic is the failure of this try.
    pub(crate) fn blame(&mut self, number: u32) {
        self.blamed = Some(number);
    }

    /// The try that failed, or the first of those that failed together.
    pub(crate) fn blamed(&self) -> u32 {
        self.blamed.unwrap_or(self.numbers.start)
    }
}

/// What is worth telling of a row: counts by name.
#[derive(Default)]
pub(crate) struct Notes(BTreeMap<&'static str, u64>);

impl Notes {
    /// Adds to a count.
    pub(crate) fn add(&mut self, what: &'static str, count: impl TryInto<u64>) {
        *self.0.entry(what).or_default() += count.try_into().unwrap_or(u64::MAX);
    }

    /// Raises a count to this, if it is lower.
    pub(crate) fn most(&mut self, what: &'static str, count: impl TryInto<u64>) {
        let kept = self.0.entry(what).or_default();
        *kept = (*kept).max(count.try_into().unwrap_or(u64::MAX));
    }

    /// All of them on one line.
    pub(crate) fn text(&self) -> String {
        let counts: Vec<_> = self.0.iter().map(|(what, count)| format!("{what} {count}")).collect();
        counts.join(", ")
    }
}

/// For a fault that can be tried everywhere.
pub(crate) fn everywhere() -> Option<String> {
    None
}

/// The shipped binary where the environment names one, else that of the present build.
pub(crate) fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_twinlet-agent").into();
    std::env::var_os("TWINLET_RELEASE_BINARY").unwrap_or(built).into()
}

/// An agent yet to be started.
pub(crate) fn agent() -> AgentBuilder {
    AgentBuilder::new(binary()).env("LOG_LEVEL", "info")
}
