//! The command line.

use twinlet_tests::dice::fresh_seed;

/// How it is used.
const USAGE: &str = "\
faults [--short] [--row NAME]... [--seed S] [--tries N | --try N] [--jobs N] | --list
  --short    fewer tries of each, for CI
  --row      only this row; may be given again
  --seed     the seed of an earlier run
  --tries    so many tries of each row
  --try      only the try of this number, with --row and --seed as they were printed
  --jobs     rows that are tried at once (2)
  --list     the rows";

/// What is asked for.
pub(crate) struct Arguments {
    pub(crate) list: bool,
    pub(crate) short: bool,
    pub(crate) rows: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) tries: Option<u32>,
    pub(crate) only: Option<u32>,
    pub(crate) jobs: u32,
}

impl Arguments {
    /// Reads them; an error is what to tell.
    pub(crate) fn read(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read = Self {
            list: false,
            short: false,
            rows: Vec::new(),
            seed: fresh_seed(),
            tries: None,
            only: None,
            jobs: 2,
        };
        while let Some(flag) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{flag} needs a value\n{USAGE}"));
            match flag.as_str() {
                "--list" => read.list = true,
                "--short" => read.short = true,
                "--row" => read.rows.push(value()?),
                "--seed" => read.seed = number(&flag, &value()?)?,
                "--tries" => read.tries = Some(number(&flag, &value()?)?),
                "--try" => read.only = Some(number(&flag, &value()?)?),
                "--jobs" => read.jobs = number(&flag, &value()?)?,
                // What `cargo bench` adds.
                "--bench" => {}
                _ => return Err(format!("{flag} is not known\n{USAGE}")),
            }
        }
        if read.only.is_some() && read.rows.len() != 1 {
            return Err(format!("--try needs one --row\n{USAGE}"));
        }
        Ok(read)
    }
}

fn number<N: std::str::FromStr>(flag: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{flag} {text}: a whole number is wanted\n{USAGE}"))
}
