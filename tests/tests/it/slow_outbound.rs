//! A function that waits for a slow server holds nothing that its neighbours need.

use serde_json::json;
use twinlet_tests::slow::slow_server;
use twinlet_tests::{DEADLINE, Site, guests};

use crate::agent;
use crate::neighbour::{ask, beside, deploy};

/// Instances of the function that waits, and requests for it at once.
const INSTANCES: usize = 6;

/// A site where `slow`, which asks the server, and its neighbour serve.
fn site_with_slow(port: u16, max_execution_ms: u64) -> Site {
    let site = Site::start(agent().env("MAX_WORKERS", INSTANCES + 1));
    let slow = site
        .function("slow", guests::fetches(&format!("http://127.0.0.1:{port}/")))
        .set("max_execution_ms", max_execution_ms)
        .set("instances", json!({ "min": 1, "max": INSTANCES }))
        .set("permissions", json!({ "http": [format!("http://127.0.0.1:{port}/*")] }));
    deploy(&site, [slow]);
    site
}

#[test]
fn while_all_instances_of_a_function_wait_its_neighbour_is_served() {
    let (port, asked) = slow_server();
    let site = site_with_slow(port, 60_000);
    std::thread::scope(|threads| {
        let calls: Vec<_> = (0..INSTANCES).map(|_| threads.spawn(|| site.agent.get("/slow"))).collect();
        let mut seen = 0;
        beside(&site, 0, || {
            asked.wait(0, DEADLINE, "all instances to wait", |()| {
                seen += 1;
                (seen == INSTANCES).then_some(())
            });
            for _ in 0..20 {
                ask(&site);
            }
            assert!(calls.iter().any(|call| !call.is_finished()), "the neighbour was served only after them");
        });
        for call in calls {
            let answer = call.join().unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "200"));
        }
    });
}

#[test]
fn a_wait_ends_with_the_functions_deadline() {
    let (port, _) = slow_server();
    let site = site_with_slow(port, 500);
    let answer = beside(&site, 0, || site.agent.get("/slow"));
    // Stopped, or told in time that there is no answer.
    let told = (answer.status, answer.text());
    assert!(told == (504, "Gateway Timeout".into()) || told == (502, "4".into()), "{told:?}");
    ask(&site);
}
