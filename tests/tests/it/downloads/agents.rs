//! Whole agents that download: killed on the way, behind a proxy, from an object store and a registry.

use std::fs;
use std::path::Path;

use twinlet_tests::certs::Certs;
use twinlet_tests::object_store::KEYS;
use twinlet_tests::tls_front::TlsFront;
use twinlet_tests::tunnel::Proxy;
use twinlet_tests::{
    Desired, Fault, Function, ObjectStore, Registry, Site, eventually, guests, needs_registry,
};

use crate::{agent, site};

/// A component that answers with this text, with so many bytes in a section that nobody reads.
fn large(text: &str, bytes: usize) -> Vec<u8> {
    let mut component = guests::answers(text);
    let name = b"\x07padding";
    let mut left = name.len() + bytes;
    component.push(0);
    while left > 0x7f {
        component.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    component.push(u8::try_from(left).unwrap());
    component.extend(name);
    component.extend(guests::noise(bytes));
    component
}

/// Waits until a partial file has so many bytes.
fn came(state: &Path, bytes: u64) {
    let artifacts = state.join("artifacts");
    eventually(&format!("{bytes} bytes of a download"), || {
        let files = fs::read_dir(&artifacts).ok()?.map_while(Result::ok);
        let partial = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|e| e == "partial");
        files.filter(partial).find(|file| file.metadata().is_ok_and(|m| m.len() == bytes)).map(|_| ())
    });
}

#[test]
fn a_download_that_a_kill_cut_goes_on_after_the_restart() {
    let mut site = site();
    let bytes = large("whole", 3 << 20);
    let faults = [Fault::StallAfter(2 << 20), Fault::None];
    let artifact = site.artifacts.serve_in_turn("fn.wasm", bytes, &faults);
    site.hub.publish_desired(Desired::version(1).serving(Function::of("fn", &artifact)));
    came(site.agent.state_dir(), 2 << 20);
    site.agent.kill9();
    let agent = site.agent.again(|agent| agent);
    agent.says("/fn", "whole");
    let asked = site.artifacts.asked("fn.wasm");
    assert_eq!((asked.len(), asked[1].header("range")), (2, "bytes=2097152-"));
    assert!(asked[1].header("if-range").starts_with('"'), "{asked:?}");
    let names = fs::read_dir(agent.state_dir().join("artifacts")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.ends_with(".wasm") || name.ends_with(".cwasm")), "{names:?}");
}

#[test]
fn a_download_that_fails_on_the_way_goes_on_with_the_next_try() {
    let site = site();
    let faults = [Fault::CutShort(100_000), Fault::CutShort(100_000), Fault::None];
    let artifact = site.artifacts.serve_in_turn("fn.wasm", large("third time", 300_000), &faults);
    site.hub.publish_desired(Desired::version(1).serving(Function::of("fn", &artifact)));
    site.agent.says("/fn", "third time");
    let asked = site.artifacts.asked("fn.wasm");
    let ranges: Vec<_> = asked.iter().map(|asked| asked.header("range")).collect();
    assert_eq!(ranges, ["", "bytes=100000-", "bytes=200000-"]);
}

#[test]
fn a_proxy_of_the_environment_is_used_but_for_no_proxy() {
    let proxy = Proxy::start();
    let site = Site::start(agent().env("HTTP_PROXY", proxy.url()).env("NO_PROXY", "localhost"));
    let artifact = site.artifact("by-proxy", guests::answers("by proxy"));
    site.hub.publish_desired(Desired::version(1).serving(Function::of("fn", &artifact)));
    site.agent.says("/fn", "by proxy");
    let expected = format!("CONNECT {} HTTP/1.1", site.artifacts.address());
    assert_eq!(proxy.asked.all(), [expected]);
    let direct = site.artifact("direct", guests::answers("direct"));
    let url = direct.url.replace("127.0.0.1", "localhost");
    let function = Function::of("fn", &direct).version(2).set("artifact_url", url);
    site.hub.publish_desired(Desired::version(2).serving(function));
    site.agent.says("/fn", "direct");
    assert_eq!(proxy.asked.mark(), 1);
}

#[test]
fn an_object_store_and_a_registry_serve_a_node() {
    let store = ObjectStore::start();
    let settings = agent().env("MINIO_ENDPOINT", store.endpoint()).env("MINIO_ACCESS_KEY", KEYS.0);
    let site = Site::start(settings.env("MINIO_SECRET_KEY", KEYS.1));
    let object = store.put("artifacts", "fn/v1.wasm", &guests::answers("from the store"));
    let mut desired = Desired::version(1).serving(Function::of("stored", &object));
    let registry = needs_registry().then(Registry::open);
    if let Some(registry) = &registry {
        let pulled = registry.push("team/fn", "v1", &guests::answers("from the registry"));
        desired = desired.serving(Function::of("pulled", &pulled));
    }
    site.hub.publish_desired(desired);
    site.agent.says("/stored", "from the store");
    if registry.is_some() {
        site.agent.says("/pulled", "from the registry");
    }
}

#[test]
fn an_object_store_with_other_keys_is_reported() {
    let store = ObjectStore::start();
    let site = Site::start(agent().env("MINIO_ENDPOINT", store.endpoint()).env("MINIO_ACCESS_KEY", KEYS.0));
    let object = store.put("artifacts", "fn.wasm", &guests::answers("never"));
    site.hub.publish_desired(Desired::version(1).serving(Function::of("fn", &object)));
    let error = site.hub.last_error("fn");
    assert!(error.contains("403") && error.contains("minio_secret_key"), "{error}");
    assert!(!error.contains("X-Amz"), "{error}");
}

#[test]
fn authorities_that_are_there_only_later_are_found() {
    let certs = Certs::generate();
    let dir = tempfile::tempdir().unwrap();
    let system = dir.path().join("authorities.pem");
    let builder = agent().env("SSL_CERT_FILE", system.display()).env("SSL_CERT_DIR", "/nowhere");
    let site = Site::start(builder);
    let front = TlsFront::start(&site.artifacts.base(), &certs.server);
    let artifact = site.artifact("fn", guests::answers("by TLS"));
    let url = format!("{}/fn.wasm", front.base());
    let function = Function::of("fn", &artifact).set("artifact_url", url);
    site.hub.publish_desired(Desired::version(1).serving(function));
    site.hub.reported_where("that nobody is trusted", |r| {
        r["functions"]["fn"]["lastError"].to_string().contains("certificate")
    });
    fs::copy(&certs.ca, &system).unwrap();
    site.agent.says("/fn", "by TLS");
}
