//! What middleware and `wasi:http` add to a request: the same function, or the same answer, by different ways.

use serde_json::json;
use twinlet_tests::guests::middleware::{Point, continues};
use twinlet_tests::{Desired, Function, Site, guests};

use crate::load::{request, requests_per_second};

/// A component of `wasi:http/proxy` that says hello.
const PROXY: &str = "hello-proxy";
/// How often each figure is taken.
const ROUNDS: usize = 3;

pub(crate) fn measure(site: &Site) {
    middleware(site);
    wasi_http(site);
}

/// `/with-0`, `/with-1` and `/with-3` all lead to one function, with so many middlewares before it.
fn middleware(site: &Site) {
    let hot = site.function("hot", guests::prebuilt("hello-http"));
    let next = site.function("next", continues(&[Point::Request]));
    let paths = [json!(["/with-1", "/with-3"]), json!(["/with-3"]), json!(["/with-3"])];
    let attached =
        paths.map(|paths| json!({ "function_id": "next", "attach": ["on-request"], "paths": paths }));
    let [one, two, three] = attached;
    let routed =
        |d: Desired| ["/with-0", "/with-1", "/with-3"].iter().fold(d, |d, path| d.route(path, "hot"));
    site.apply(1, |d| {
        routed(d.function(hot).function(next)).set("middleware", json!({ "a": one, "b": two, "c": three }))
    });
    println!("requests/s to a hot function behind middleware that says `continue`");
    compare(site, &["/with-0", "/with-1", "/with-3"].map(|path| (path, request("GET", path, ""))));
}

fn wasi_http(site: &Site) {
    println!(
        "requests/s, the agent's own http-handler and wasi:http/proxy, hot and with a fresh instance each"
    );
    if !guests::repository().join(format!("modules/prebuilt/{PROXY}.wasm")).is_file() {
        println!("  left out: there is no {PROXY}.wasm");
        return;
    }
    let both = |id: &str, bytes: Vec<u8>| {
        let artifact = site.artifact(id, bytes);
        let fresh = Function::of(&format!("{id}-fresh"), &artifact);
        [Function::of(id, &artifact), fresh.set("instances", json!({ "isolation": "fresh" }))]
    };
    let functions = [both("own", guests::prebuilt("hello-http")), both("wasi", guests::prebuilt(PROXY))];
    let ids = ["own", "own-fresh", "wasi", "wasi-fresh"];
    // The last segment is what the proxy goes by.
    let path = |id: &str| format!("/{id}/hello");
    let functions = |d| functions.into_iter().flatten().fold(d, Desired::function);
    site.apply(2, |d| ids.iter().fold(functions(d), |d, id| d.route(&path(id), id)));
    compare(site, &ids.map(|id| (id, request("GET", &path(id), ""))));
}

/// Prints the rates of several requests, and their ratios to the first: the best of rounds in which they take turns, so
/// that what else the machine does for a while falls on all of them.
fn compare(site: &Site, requests: &[(&str, String)]) {
    let mut best = vec![0.0_f64; requests.len()];
    for _ in 0..ROUNDS {
        for (best, (_, request)) in best.iter_mut().zip(requests) {
            *best = best.max(requests_per_second(&site.agent, request));
        }
    }
    let first = best.first().copied().unwrap_or_default();
    for ((name, _), rate) in requests.iter().zip(best) {
        println!("  {name:12} {rate:8.0}   {:.2}", rate / first);
    }
}
