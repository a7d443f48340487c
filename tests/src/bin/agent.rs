//! The agent as it is shipped, built beside the tests so that they always start the present one.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinlet::cli::main()
}
