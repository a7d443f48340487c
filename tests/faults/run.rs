//! Tries a row again and again; a try that fails is told with what repeats it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::row::{Bed, Notes, Row, Tries};

/// Failed tries after which the rest of a row is left.
const ENOUGH: u32 = 3;

/// What became of a row.
pub(crate) struct Outcome {
    pub(crate) fault: &'static str,
    pub(crate) tries: u32,
    pub(crate) passed: u32,
    pub(crate) failed: bool,
    pub(crate) notes: String,
    pub(crate) took: Duration,
}

/// Makes these tries of a row.
pub(crate) fn run(row: &Row, seed: u64, numbers: Range<u32>) -> Outcome {
    let began = Instant::now();
    let outcome = |tries, passed, failed, notes| Outcome {
        fault: row.fault,
        tries,
        passed,
        failed,
        notes,
        took: began.elapsed(),
    };
    if let Some(why) = (row.left_out)() {
        return outcome(0, 0, false, format!("LEFT OUT: {why}"));
    }
    let (mut notes, mut bed) = (Notes::default(), None);
    let (mut tried, mut passed, mut failures) = (0, 0, 0);
    let (mut next, mut of_bed) = (numbers.start, 0);
    while next < numbers.end && failures < ENOUGH {
        let many = row.at_once.min(numbers.end - next).min(row.per_bed - of_bed);
        let mut tries = Tries::new(seed, row.name, next..next + many, &mut notes);
        let ready = bed.take();
        let attempt = catch_unwind(AssertUnwindSafe(|| attempt(row, ready, &mut tries)));
        let blamed = tries.blamed();
        (next, of_bed, tried) = (next + many, of_bed + many, tried + many);
        match attempt {
            Ok(used) => {
                passed += many;
                bed = Some(used);
            }
            Err(_) => {
                failures += 1;
                passed += many - 1;
                of_bed = 0;
                tell(row, seed, &format!("--try {blamed}"));
            }
        }
        if of_bed == row.per_bed || next == numbers.end {
            of_bed = 0;
            let Some(used) = bed.take() else { continue };
            if catch_unwind(AssertUnwindSafe(|| used.finish(&mut notes))).is_err() {
                failures += 1;
                passed = passed.saturating_sub(1);
                tell(row, seed, &format!("--tries {next} (at the end of all tries so far)"));
            }
        }
    }
    let mut notes = notes.text();
    if next < numbers.end {
        notes = format!("stopped after {failures} failures; {notes}");
    }
    outcome(tried, passed, failures > 0, notes)
}

/// Takes the bed, so that it is gone with an agent's last words if the attempt fails.
fn attempt(row: &Row, ready: Option<Box<dyn Bed>>, tries: &mut Tries<'_>) -> Box<dyn Bed> {
    let mut bed = ready.unwrap_or_else(row.bed);
    bed.attempt(tries);
    bed
}

fn tell(row: &Row, seed: u64, which: &str) {
    println!("FAILED: {}; again by: faults --row {} --seed {seed} {which}", row.fault, row.name);
}
