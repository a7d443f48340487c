//! What the agent costs and gives: `cargo bench -p twinlet-tests --bench agent`. It prints figures and judges none. Machines are noisy:
//! compare figures of one run only, and ratios rather than times.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_tests::agent::{Agent, AgentBuilder};
use twinlet_tests::desired::{Desired, Function};
use twinlet_tests::guests;
use twinlet_tests::site::Site;
use twinlet_tests::wait::eventually;

/// Connections of each of the two loading threads; each has one request on its way.
const CONNECTIONS: usize = 16;
const LOADED: Duration = Duration::from_secs(3);
const SAMPLES: u32 = 5;

fn main() {
    let site = Site::start(builder().env("LOG_LEVEL", "info"));
    let hello = guests::prebuilt("hello-http");
    let function = |id: &str| Function::of(id, &site.artifact(id, hello.clone()));
    let five = (0..5).fold(Desired::version(1), |d, n| d.serving(function(&format!("idle-{n}"))));
    site.hub.publish_desired(five);
    site.hub.applied(1);
    let (pss, rss) = (kb(site.agent.pss_bytes()), kb(site.agent.rss_bytes()));
    println!("idle with five functions, before any load: {pss} KB PSS, {rss} KB RSS");

    let fresh = json!({ "isolation": "fresh" });
    site.apply(2, |d| d.serving(function("hot")).serving(function("fresh").set("instances", fresh)));

    println!("requests/s, {} connections, the load on the same machine", 2 * CONNECTIONS);
    let bare = requests_per_second(&site.agent, "/healthz");
    for path in ["/healthz", "/hot", "/fresh"] {
        let rate = requests_per_second(&site.agent, path);
        println!("  {path:9} {rate:8.0}   {:.2} of /healthz, which calls no function", rate / bare);
    }
    let mut took: Vec<_> =
        (0..2_000).map(|_| time(|| assert_eq!(site.agent.get("/hot").status, 200))).collect();
    took.sort();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    println!(
        "one request after the other, hot, each on a connection of its own: p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    );

    println!("from the deployment message to the first 200, {} KB component:", filter(0).len() / 1_000);
    let deployed: Vec<_> = (0..SAMPLES).map(|n| deployment(&site, n)).collect();
    println!("  {deployed:?}");

    println!("first request to a cached function that is not hot:");
    println!("  {:?}", cold_starts(&site));

    let ten = (0..10).fold(Desired::version(1_001), |d, n| d.serving(function(&format!("ten-{n}"))));
    site.hub.publish_desired(ten);
    site.hub.applied(1_001);
    println!("from exec to ready with ten cached functions and no network:");
    println!("  {:?}", starts(site.agent));
}

fn builder() -> AgentBuilder {
    AgentBuilder::new(env!("CARGO_BIN_EXE_twinlet-agent"))
}

fn kb(bytes: u64) -> u64 {
    bytes / 1_024
}

fn time(what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    what();
    began.elapsed()
}

/// Loads the agent from two threads; on each connection a request follows the answer to the last.
fn requests_per_second(agent: &Agent, path: &str) -> f64 {
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
    let began = Instant::now();
    let done: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| load(agent.address(), &request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn load(address: &str, request: &str) -> u32 {
    let connect = |_| {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let mut streams: Vec<_> = (0..CONNECTIONS).map(connect).collect();
    let (began, mut done, mut buffer) = (Instant::now(), 0, vec![0; 16 << 10]);
    while began.elapsed() < LOADED {
        for stream in &mut streams {
            stream.write_all(request.as_bytes()).unwrap();
        }
        for stream in &mut streams {
            read_answer(stream, &mut buffer);
            done += 1;
        }
    }
    done
}

/// Reads one answer with `content-length` to its end.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut have = 0;
    loop {
        let n = stream.read(buffer.get_mut(have..).unwrap()).unwrap();
        assert!(n > 0, "the agent closed a connection");
        have += n;
        let text = String::from_utf8_lossy(buffer.get(..have).unwrap());
        let Some(head) = text.find("\r\n\r\n") else { continue };
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        if have >= head + 4 + length.unwrap().parse::<usize>().unwrap() {
            return;
        }
    }
}

/// The filter with a custom section of its own, so that each is another artifact, fetched and compiled anew.
fn filter(n: u32) -> Vec<u8> {
    let mut component = guests::prebuilt("sensor-filter");
    component.extend_from_slice(&[0, 6, 1, b'n']);
    component.extend_from_slice(&n.to_le_bytes());
    component
}

fn deployment(site: &Site, n: u32) -> Duration {
    let id = format!("filter-{n}");
    let function = Function::of(&id, &site.artifact(&id, filter(n)));
    let desired = Desired::version(u64::from(100 + n)).serving(function);
    time(|| {
        site.hub.publish_desired(desired);
        eventually("the first 200", || (site.agent.get(&format!("/{id}")).status == 200).then_some(()));
    })
}

fn cold_starts(site: &Site) -> Vec<Duration> {
    let cold = json!({ "min": 0, "idle_timeout_secs": 1 });
    let function = Function::of("cold", &site.artifact("cold", guests::prebuilt("hello-http")));
    site.apply(500, |d| d.serving(function.set("instances", cold)));
    let one = |_| {
        site.agent.metrics_where("no instance", |m| m.sum("twinlet_instances", &["cold"]) == 0.0);
        time(|| assert_eq!(site.agent.get("/cold").status, 200))
    };
    (0..3).map(one).collect()
}

/// Ends the agent and starts it again, each time without broker and artifact server.
fn starts(mut agent: Agent) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..SAMPLES {
        agent.sigterm();
        assert_eq!(agent.wait_exit(Duration::from_secs(20)), 0);
        let began = Instant::now();
        agent = agent.again(|builder| builder.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
        agent.answers("/readyz", 200);
        took.push(began.elapsed());
        assert_eq!(agent.get("/ten-9").status, 200);
    }
    took
}
