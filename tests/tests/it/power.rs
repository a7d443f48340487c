//! Power cuts: an agent that is killed again and again, at random moments and under load, keeps all that it promised.
//!
//! `TWINLET_KILL_CYCLES` says how often it is killed, `TWINLET_KILL_SEED` repeats the moments of an earlier run.

use std::time::Duration;

use twinlet_tests::dice::Dice;
use twinlet_tests::ledger::Ledger;
use twinlet_tests::loaded::Loaded;
use twinlet_tests::needs_mosquitto;

use crate::agent;

const CYCLES: u32 = 200;
/// The longest that an agent which is ready has until it is killed.
const LONGEST_LOAD: Duration = Duration::from_millis(300);
/// The same for one that is killed while it starts.
const LONGEST_START: Duration = Duration::from_millis(250);
/// The agent takes its database for the cause of three starts in a row that did not get through, and sets it aside.
const STARTS_CUT_IN_A_ROW: u32 = 2;

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    if !needs_mosquitto() {
        return;
    }
    let cycles = std::env::var("TWINLET_KILL_CYCLES").map_or(CYCLES, |cycles| cycles.parse().unwrap());
    let (mut dice, ledger) = (Dice::from_env("TWINLET_KILL_SEED"), Ledger::default());
    let node = Loaded::around(agent());
    let mut running = node.first_start();
    let (mut cut_in_a_row, mut cut) = (0, 0);
    for _ in 0..cycles {
        ledger.under_load(&mut running, || dice.pause(LONGEST_LOAD));
        while cut_in_a_row < STARTS_CUT_IN_A_ROW && dice.throw(4) == 0 {
            let mut starting = node.builder.spawn();
            dice.pause(LONGEST_START);
            starting.kill9();
            cut_in_a_row += 1;
            cut += 1;
        }
        cut_in_a_row = 0;
        running = node.start(&ledger);
    }
    node.drain(&running, &ledger);
    eprintln!("{}", node.check(&running, &ledger));
    eprintln!("{cycles} kills under load, {cut} during a start");
    assert!(!running.state_dir().join("db.damaged").exists(), "a database was set aside");
}
