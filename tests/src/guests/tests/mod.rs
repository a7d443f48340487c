//! What the fixtures do, seen without an agent.

mod driven;

use super::*;
use wasmtime::component::{Component, ComponentType, Lift, Linker, Lower, TypedFunc};
use wasmtime::{Config, Engine, Store};

type Header = (String, Vec<u8>);

#[derive(ComponentType, Lower)]
#[component(record)]
struct Request {
    method: String,
    path: String,
    query: Option<String>,
    host: String,
    headers: Vec<Header>,
    params: Vec<(String, String)>,
    body: Vec<u8>,
    #[component(name = "request-id")]
    request_id: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Response {
    status: u16,
    headers: Vec<Header>,
    body: Vec<u8>,
}

type Handle = TypedFunc<(Request,), (Result<Response, String>,)>;

fn call(bytes: &[u8], times: usize) -> Result<Vec<Result<Response, String>>, wasmtime::Error> {
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, bytes)?;
    let mut linker = Linker::new(&engine);
    let started = std::time::Instant::now();
    linker.instance("twinlet:device/clock@0.1.0")?.func_wrap("monotonic-ns", move |_, (): ()| {
        Ok((u64::try_from(started.elapsed().as_nanos()).unwrap(),))
    })?;
    let limits = wasmtime::StoreLimitsBuilder::new().memory_size(16 << 16).build();
    let mut store = Store::new(&engine, limits);
    store.limiter(|limits| limits);
    store.set_fuel(50_000_000)?;
    let instance = linker.instantiate(&mut store, &component)?;
    let interface = instance.get_export_index(&mut store, None, "twinlet:device/http-handler@0.1.0").unwrap();
    let handle = instance.get_export_index(&mut store, Some(&interface), "handle").unwrap();
    let handle: Handle = instance.get_typed_func(&mut store, handle)?;
    (0..times).map(|_| Ok(handle.call(&mut store, (request(),))?.0)).collect()
}

fn request() -> Request {
    Request {
        method: "POST".into(),
        path: "/p/x".into(),
        query: Some("a=1&b".into()),
        host: "gw".into(),
        headers: vec![("x-blob".into(), vec![0, 255, 128])],
        params: vec![("name".into(), "value".into())],
        body: noise(100_000),
        request_id: "id-1".into(),
    }
}

#[test]
fn the_fixtures_that_answer_do_so_again_and_again() {
    for (bytes, body) in [
        (answers("v1"), b"v1".to_vec()),
        (dawdles(1, "late"), b"late".to_vec()),
        (grows(), 16_u32.to_le_bytes().to_vec()),
    ] {
        let answers = call(&bytes, 3).unwrap();
        assert!(answers.iter().all(|a| a.as_ref().is_ok_and(|r| r.status == 200 && r.body == body)));
    }
    let third = call(&counts(), 3).unwrap().pop().unwrap().unwrap();
    assert_eq!(third.body, [3]);
    assert_eq!(call(&returns_error("no luck"), 1).unwrap().pop().unwrap().err().unwrap(), "no luck");
}

#[test]
fn the_mirror_sends_everything_back() {
    let answer = call(&mirrors(207), 2).unwrap().pop().unwrap().unwrap();
    assert_eq!((answer.status, &answer.body), (207, &noise(100_000)));
    let seen = |name: &str| answer.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
    for (name, value) in [
        ("seen-method", &b"POST"[..]),
        ("seen-path", b"/p/x"),
        ("seen-query", b"a=1&b"),
        ("seen-host", b"gw"),
        ("seen-id", b"id-1"),
        ("seen-param", b"value"),
        ("x-blob", &[0, 255, 128]),
    ] {
        assert_eq!(seen(name), value, "{name}");
    }
}

#[test]
fn the_hostile_fixtures_fail_each_in_its_way() {
    for (bytes, reason) in [
        (spins(), "all fuel consumed"),
        (spins_at_start(), "all fuel consumed"),
        (traps(), "unreachable"),
        (traps_at_start(), "unreachable"),
        (recurses(), "call stack exhausted"),
        (imports_unknown(), "acme:unknown/thing"),
        (not_a_component(), "component"),
        (noise(1000), "magic"),
    ] {
        let error = call(&bytes, 1).map(|_| ()).expect_err(reason);
        assert!(format!("{error:?}").contains(reason), "{reason}: {error:?}");
    }
}
