//! Components for the tests: the committed samples, and ones that are hostile or odd, made here from `guests/*.wat`.
//! Knows only the WIT in `wit/` of what runs them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

macro_rules! wat {
    ($name:literal) => {
        include_str!(concat!("../guests/", $name, ".wat"))
    };
}

const FRAME: &str = wat!("frame");

/// A committed sample module, such as `hello-http`.
pub fn prebuilt(name: &str) -> Vec<u8> {
    let file = repository().join("modules/prebuilt").join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Answers 200 with `text`.
pub fn answers(text: &str) -> Vec<u8> {
    component(&with_text(wat!("answers"), text))
}

/// Answers 200 with `text` after `ms` milliseconds of computing.
pub fn dawdles(ms: u32, text: &str) -> Vec<u8> {
    component(&with_text(wat!("dawdles"), text).replace("@MS@", &ms.to_string()))
}

/// Sends back what came: body and headers as they are, the rest as headers `seen-method`, `-path`, `-query`, `-host`,
/// `-id` and `-param` (of the first param).
pub fn mirrors(status: u16) -> Vec<u8> {
    component(&wat!("mirrors").replace("@STATUS@", &status.to_string()))
}

/// Answers with one byte: how many requests this instance has had.
pub fn counts() -> Vec<u8> {
    component(wat!("counts"))
}

/// Takes memory until it is refused, and answers with the number of pages as four little-endian bytes.
pub fn grows() -> Vec<u8> {
    component(wat!("grows"))
}

/// Never answers.
pub fn spins() -> Vec<u8> {
    component(wat!("spins"))
}

/// Never starts.
pub fn spins_at_start() -> Vec<u8> {
    component(wat!("spins_at_start"))
}

/// Traps at each call.
pub fn traps() -> Vec<u8> {
    component(wat!("traps"))
}

/// Traps at start.
pub fn traps_at_start() -> Vec<u8> {
    component(wat!("traps_at_start"))
}

/// Returns an error with `text`.
pub fn returns_error(text: &str) -> Vec<u8> {
    component(&with_text(wat!("returns_error"), text))
}

/// Overflows its stack at each call.
pub fn recurses() -> Vec<u8> {
    component(wat!("recurses"))
}

/// Imports `acme:unknown/thing@1.0.0`, which no agent offers.
pub fn imports_unknown() -> Vec<u8> {
    let mut resolve = twinlet().0.clone();
    let package = resolve.push_str("odd.wit", include_str!("../guests/odd.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("odd")).unwrap();
    encode(&module(wat!("imports_unknown")), &resolve, world)
}

/// A valid WebAssembly module that is no component.
pub fn not_a_component() -> Vec<u8> {
    module(&with_text(wat!("answers"), "never"))
}

/// Bytes that are no WebAssembly at all; always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn with_text(wat: &str, text: &str) -> String {
    assert!(text.len() < 3000 && !text.contains(['"', '\\']), "does not fit the fixture's data: {text}");
    wat.replace("@TEXT@", text).replace("@LEN@", &text.len().to_string())
}

/// The core module of a fixture: the frame with the fixture's imports and body in their places.
fn module(body: &str) -> Vec<u8> {
    let imports: String = body.lines().filter_map(|line| line.strip_prefix(";;IMPORT ")).collect();
    wat::parse_str(FRAME.replace(";;IMPORTS", &imports).replace(";;BODY", body)).unwrap()
}

fn component(body: &str) -> Vec<u8> {
    let (resolve, world) = twinlet();
    encode(&module(body), resolve, *world)
}

fn encode(module: &[u8], resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// The public contract and its world `http-function`, read once.
fn twinlet() -> &'static (Resolve, WorldId) {
    static CONTRACT: OnceLock<(Resolve, WorldId)> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
        let world = resolve.select_world(&[package], Some("http-function")).unwrap();
        (resolve, world)
    })
}

#[cfg(test)]
mod tests {
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
        let interface =
            instance.get_export_index(&mut store, None, "twinlet:device/http-handler@0.1.0").unwrap();
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
        let seen =
            |name: &str| answer.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
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
}
