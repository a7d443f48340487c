//! What the shipped binary may take, in MB of 2^20 bytes. It is built by `tests/run`; without it, these tests say so and end.

use std::path::PathBuf;

use twinlet_tests::agent::AgentBuilder;
use twinlet_tests::desired::{Desired, Function};
use twinlet_tests::guests;
use twinlet_tests::site::Site;
use twinlet_tests::wait::eventually;

/// Where `tests/run` says the release binary is.
const BINARY: &str = "TWINLET_RELEASE_BINARY";

fn release_binary() -> Option<PathBuf> {
    let path = std::env::var_os(BINARY).map(PathBuf::from);
    if path.is_none() {
        eprintln!("*** LEFT OUT: a budget; {BINARY} does not name a release binary ***");
    }
    path
}

#[test]
fn idle_with_five_functions_it_takes_no_more_than_ten_megabytes() {
    let Some(binary) = release_binary() else { return };
    let site = Site::start(AgentBuilder::new(binary).env("LOG_LEVEL", "info"));
    let hello = guests::prebuilt("hello-http");
    let five = (0..5).fold(Desired::version(1), |desired, n| {
        let id = format!("hello-{n}");
        desired.serving(Function::of(&id, &site.artifact(&id, hello.clone())))
    });
    site.hub.publish_desired(five);
    site.hub.applied(1);
    assert_eq!(site.agent.get("/hello-4").status, 200);
    // The first requests' buffers go back in a moment.
    eventually("an idle size of at most 10 MB", || (site.agent.pss_bytes() <= 10 << 20).then_some(()));
}

#[test]
fn the_stripped_binary_takes_no_more_than_its_budget() {
    let Some(binary) = release_binary() else { return };
    let bytes = std::fs::metadata(&binary).unwrap().len();
    // On ARM, where the budget of 10 MB holds, cross/build.sh watches it, and leaves out a megabyte of tables for
    // unwinding, which a profile of a stable cargo can not; x86-64 code is larger besides.
    let budget = if cfg!(target_arch = "x86_64") { 27 << 19 } else { 10 << 20 };
    assert!(bytes <= budget, "{bytes} bytes are more than {budget}");
}
