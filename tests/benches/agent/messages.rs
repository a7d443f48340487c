//! Telemetry and actors: what a message costs, on the disk and between functions.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_tests::guests::{self, actors};
use twinlet_tests::{Desired, Function, Site};

use crate::load::{per_second, request, requests_per_second};

/// Functions that send at once. A function's share is 5,000 messages of telemetry a second and 20,000 to actors, and as
/// many at the beginning: few would measure that.
const SENDERS: usize = 16;
/// Messages between functions in one request; of all senders together they fit a mailbox.
const OFTEN: u32 = 60;
/// Bytes of a message of telemetry.
const READING: usize = 100;

pub(crate) fn measure(site: &Site) {
    let many = |id: &'static str, bytes: Vec<u8>| {
        let artifact = site.artifact(id, bytes);
        (0..SENDERS).map(move |n| Function::of(&format!("{id}-{n}"), &artifact))
    };
    let functions = many("send", guests::sends())
        .chain(many("cast", guests::casts_often(OFTEN)))
        .chain(many("call", guests::calls_often(OFTEN)))
        .map(|f| f.set("permissions", json!({ "telemetry": true })).set("outputs", json!({ "to": "actor" })));
    let actor = site.function("actor", actors::counts_in_memory());
    let hello = site.function("hot", guests::prebuilt("hello-http"));
    let functions: Vec<_> = functions.chain([actor, hello]).collect();
    site.apply(1, |d| functions.into_iter().fold(d, Desired::serving));
    telemetry(site);
    between_functions(site);
}

fn telemetry(site: &Site) {
    println!("messages of telemetry/s that are on the disk, {READING} bytes, each by a request of its own");
    let alone = syncs_per_second(site);
    println!("  {:26} {alone:8.0}", "fsync of a file, alone");
    for senders in [1, 8, 16] {
        let paths = (0..senders).map(|n| format!("/send-{}", n % SENDERS));
        let requests: Vec<_> = paths.map(|path| request("POST", &path, &"x".repeat(READING))).collect();
        let requests: Vec<_> = requests.iter().map(String::as_str).collect();
        let rate = per_second(&site.agent, &requests, 1, |_| 1);
        println!("  {:26} {rate:8.0}   {:.2}", format!("{senders} at once"), rate / alone);
    }
    let page = site.agent.metrics();
    let (left, lost) = (page.sum("twinlet_outbox_messages", &[]), page.sum("twinlet_outbox_lost_total", &[]));
    println!("  not delivered by the end: {left}, dropped: {lost}");
}

/// How often in a second a small write to a file beside the agent's can be made durable. It does not grow, which would
/// be slower; sled's does so rarely.
fn syncs_per_second(site: &Site) -> f64 {
    let file = tempfile::tempfile_in(site.agent.state_dir()).unwrap();
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[0; READING], 0).unwrap();
        file.sync_data().unwrap();
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn between_functions(site: &Site) {
    println!(
        "messages/s to an actor that keeps nothing, {OFTEN} in a request; some 30,000 of each function are its share"
    );
    for (what, path) in [("casts", "cast"), ("calls", "call")] {
        for senders in [1, 4, SENDERS] {
            let paths = (0..senders).map(|n| request("GET", &format!("/{path}-{n}"), ""));
            let requests: Vec<_> = paths.collect();
            let requests: Vec<_> = requests.iter().map(String::as_str).collect();
            let rate = per_second(&site.agent, &requests, 1, |done| done.parse().unwrap());
            println!("  {:26} {rate:8.0}", format!("{what}, {senders} functions at once"));
        }
    }
    println!("requests/s, 32 connections");
    let hot = requests_per_second(&site.agent, &request("POST", "/hot", "x"));
    let actor = requests_per_second(&site.agent, &request("POST", "/actor", "x"));
    println!("  {:26} {hot:8.0}", "to a hot function");
    println!("  {:26} {actor:8.0}   {:.2}", "to an actor", actor / hot);
}
