//! The binary `twinlet`: hands everything to the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinlet::cli::main()
}
