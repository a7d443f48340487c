//! The fault harness: what befalls a device in the field is brought about on purpose, again and again, to a real agent
//! with a real broker, and after each time it is seen whether anything was lost, half done or silently wrong.
//!
//! `cargo test -p twinlet-tests --bench faults -- --short`; without `--short`, all tries. Everything random comes from
//! the seed, so that `--row NAME --seed S --try N` repeats one try. It prints a table and exits with 1 if any row failed.
//!
//! | file | what it is |
//! | --- | --- |
//! | `arguments`, `row`, `run`, `table` | the harness itself |
//! | `kills`, `power` | kill -9 and power cuts under load |
//! | `disk_errors`, `small_disk` | a disk that fails, and one that fills up |
//! | `downloads`, `wrong`, `signed` | downloads that break off, and artifacts that must never serve |
//! | `certificates`, `offline` | certificates that are wrong for a while, and no network |
//! | `clock` | a clock that is wrong |
//! | `server` | an artifact server that breaks off, and counts |
//! | `mounts`, `shim` | file systems of the harness's own, and a disk and a clock that fail when they are told to |
//! | `corruption` | damage to the state directory |
//! | `broker` | a broker that comes and goes, and a message that is too large |
//! | `documents`, `mutations` | malformed twin documents |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness panics: that is how a try fails"
)]

mod arguments;
mod broker;
mod certificates;
mod clock;
mod corruption;
mod disk_errors;
mod documents;
mod downloads;
mod kills;
mod mounts;
mod mutations;
mod offline;
mod power;
mod row;
mod run;
mod server;
mod shim;
mod signed;
mod small_disk;
mod table;
mod wrong;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Mutex;

use arguments::Arguments;
use row::Row;
use run::{Outcome, run};
use twinlet_tests::needs_mosquitto;

/// In the order of the table.
const ROWS: &[Row] = &[
    kills::KILL,
    power::POWER,
    disk_errors::DISK_ERRORS,
    small_disk::SMALL_DISK,
    downloads::TRUNCATED,
    downloads::STALLED,
    wrong::WRONG,
    signed::SIGNED,
    corruption::CORRUPTION,
    broker::FLAPPING,
    broker::OVERSIZE,
    documents::MALFORMED,
    clock::CLOCK,
    certificates::CERTIFICATES,
    offline::OFFLINE,
];

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    if let Some(unknown) = arguments.rows.iter().find(|name| ROWS.iter().all(|row| row.name != **name)) {
        eprintln!("there is no row {unknown}; --list tells which there are");
        return ExitCode::from(2);
    }
    if arguments.list {
        for row in ROWS {
            println!("{:12} {:6} {:4}  {}", row.name, row.full, row.short, row.fault);
        }
        return ExitCode::SUCCESS;
    }
    if !needs_mosquitto() {
        return ExitCode::SUCCESS;
    }
    // One line each: what is worth more is the agent's log, which follows.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let outcomes = run_all(&arguments);
    println!("\n{}", table::table(&outcomes, arguments.seed));
    if outcomes.iter().any(|outcome| outcome.failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the rows that are asked for, some of them at once, and returns what became of them in the table's order.
fn run_all(arguments: &Arguments) -> Vec<Outcome> {
    let asked = |row: &Row| arguments.rows.is_empty() || arguments.rows.iter().any(|name| name == row.name);
    let rows: VecDeque<_> = ROWS.iter().filter(|row| asked(row)).enumerate().collect();
    let (waiting, done) = (Mutex::new(rows), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..arguments.jobs.max(1) {
            threads.spawn(|| {
                loop {
                    let Some((place, row)) = waiting.lock().unwrap().pop_front() else { return };
                    let tries = arguments.tries.unwrap_or(if arguments.short { row.short } else { row.full });
                    let numbers = arguments.only.map_or(0..tries, |only| only..only + 1);
                    let outcome = run(row, arguments.seed, numbers);
                    println!("{}: {} of {}; {}", row.name, outcome.passed, outcome.tries, outcome.notes);
                    done.lock().unwrap().push((place, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
