//! How long a well-behaved function takes beside others that take what they can get, and what memory the agent takes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use twinlet_tests::guests::{self, hostile};
use twinlet_tests::slow::slow_server;
use twinlet_tests::{DEADLINE, Desired, Site};

use crate::kb;
use crate::load::{Times, request};

/// Requests for a hostile function at one time, each of which uses up its time.
const AT_ONCE: usize = 4;
/// Instances that wait for the slow server.
const WAITING: usize = 10;
/// How often memory is looked at.
const GLANCE: Duration = Duration::from_millis(50);

pub(crate) fn measure(site: &Site) {
    let (port, asked) = slow_server();
    let hostile = [
        ("spins", guests::spins()),
        ("floods-log", hostile::floods_log()),
        ("floods-telemetry", hostile::floods_telemetry()),
    ];
    let names = hostile.each_ref().map(|(id, _)| *id);
    let hostile = hostile.map(|(id, bytes)| site.function(id, bytes).set("max_execution_ms", 1_000));
    let slow = site
        .function("waits", guests::fetches(&format!("http://127.0.0.1:{port}/")))
        .set("max_execution_ms", 30_000)
        .set("instances", json!({ "min": 1, "max": WAITING }))
        .set("permissions", json!({ "http": [format!("http://127.0.0.1:{port}/*")] }));
    let telemetry = json!({ "telemetry": true });
    let functions = hostile.into_iter().map(|f| f.set("permissions", telemetry.clone())).chain([slow]);
    let hello = site.function("hot", guests::prebuilt("hello-http"));
    site.apply(1, |d| functions.fold(d, Desired::serving).serving(hello));

    println!(
        "a hot function, one request after the other, alone and beside another (in brackets: ratios to alone)"
    );
    println!("  {:18} {:>18} {:>18} {:>14}", "beside", "p50", "p99", "PSS at most");
    println!("  before: {} KB PSS", kb(site.agent.pss_bytes()));
    let alone = Row::measure(site);
    alone.print("nothing", &alone);
    for name in names {
        beside(site, name, AT_ONCE, || Row::measure(site)).print(name, &alone);
    }
    let waits = beside(site, "waits", WAITING, || {
        let mut seen = 0;
        asked.wait(0, DEADLINE, "all instances to wait", |()| {
            seen += 1;
            (seen == WAITING).then_some(())
        });
        Row::measure(site)
    });
    waits.print("waits", &alone);
    Row::measure(site).print("nothing, again", &alone);
    println!("  after: {} KB PSS", kb(site.agent.pss_bytes()));
}

/// What was seen beside one neighbour.
struct Row {
    p50: Duration,
    p99: Duration,
    /// The most that was seen, in bytes.
    pss: u64,
}

impl Row {
    fn measure(site: &Site) -> Self {
        let (done, pss) = (AtomicBool::new(false), AtomicU64::new(0));
        let times = std::thread::scope(|threads| {
            threads.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    pss.fetch_max(site.agent.pss_bytes(), Ordering::SeqCst);
                    std::thread::sleep(GLANCE);
                }
            });
            let times = Times::of(&site.agent, &request("GET", "/hot", ""));
            done.store(true, Ordering::SeqCst);
            times
        });
        Self { p50: times.percentile(50), p99: times.percentile(99), pss: pss.into_inner() }
    }

    fn print(&self, beside: &str, alone: &Self) {
        let ratio = |time: Duration, alone: Duration| {
            format!("{} µs ({:.2})", time.as_micros(), time.as_secs_f64() / alone.as_secs_f64())
        };
        let (p50, p99) = (ratio(self.p50, alone.p50), ratio(self.p99, alone.p99));
        println!("  {beside:18} {p50:>18} {p99:>18} {:>11} KB", kb(self.pss));
    }
}

/// Does something while so many requests for a function are under way all the time.
fn beside<R>(site: &Site, function: &str, at_once: usize, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for _ in 0..at_once {
            threads.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    // Answered or not: what it does to others is what counts.
                    site.agent.request("GET", &format!("/{function}")).try_send().ok();
                }
            });
        }
        let result = work();
        done.store(true, Ordering::SeqCst);
        result
    })
}
