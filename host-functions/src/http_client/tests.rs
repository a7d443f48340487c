use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::resolver::{LookUp, system};
use super::*;

/// A server on loopback. It answers each request of each connection with the same bytes, and tells their heads.
struct Server {
    address: SocketAddr,
    heads: Receiver<String>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heads) = mpsc::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (answer.into(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (stream, answer, sender) = (stream.unwrap(), answer.clone(), sender.clone());
                std::thread::spawn(move || answer_all(stream, &answer, |head| sender.send(head).is_ok()));
            }
        });
        Self { address, heads, connections }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Reads heads until the client goes.
fn answer_all(stream: impl Read + Write, answer: &[u8], told: impl Fn(String) -> bool) {
    let mut stream = BufReader::with_capacity(1, stream);
    let mut head = String::new();
    while stream.read_line(&mut head).is_ok_and(|read| read > 0) {
        if head.ends_with("\r\n\r\n") {
            let wanted = told(std::mem::take(&mut head));
            if !wanted || stream.get_mut().write_all(answer).and_then(|()| stream.get_mut().flush()).is_err()
            {
                return;
            }
        }
    }
}

fn tls(roots: &[Certificate<'static>]) -> TlsConfig {
    let roots = RootCerts::new_with_certs(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build()
}

fn gate_of(pattern: &str, proxies: Proxies, look_up: LookUp) -> Gate {
    Gate::made(vec![pattern.parse().unwrap()], proxies, Some(tls(&[])), look_up)
}

fn gate(pattern: &str) -> Gate {
    gate_of(pattern, Proxies::default(), system)
}

fn request(url: &str) -> OutgoingRequest {
    let headers = vec![("x-a".into(), b"1".to_vec())];
    OutgoingRequest {
        method: "GET".into(),
        url: url.into(),
        headers,
        body: Vec::new(),
        timeout_ms: Some(3_000),
    }
}

fn get(gate: &Gate, url: &str) -> Result<Response, Error> {
    send(gate, &Rates::default(), request(url), Duration::from_secs(5))
}

#[test]
fn a_redirect_is_a_response_and_following_it_is_checked_again() {
    let elsewhere = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 2\r\n\r\n", elsewhere.url("/"));
    let server = Server::answering([head.as_bytes(), b"\xff\0"].concat());
    let gate = gate(&server.url("/*"));
    let answer = get(&gate, &server.url("/x")).unwrap();
    assert_eq!((answer.status, answer.body), (302, vec![255, 0]));
    let location = answer.headers.into_iter().find(|(name, _)| name == "location").unwrap().1;
    let location = String::from_utf8(location).unwrap();
    assert_eq!(location, elsewhere.url("/"));
    assert!(matches!(get(&gate, &location), Err(Error::NotPermitted(_))));
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn two_requests_use_one_connection() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let gate = gate(&server.url("/*"));
    for path in ["/1", "/2"] {
        assert_eq!(get(&gate, &server.url(path)).unwrap().body, b"ok");
        assert!(server.heads.recv().unwrap().starts_with(&format!("GET {path} HTTP/1.1\r\n")));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_body_goes_with_its_length_and_an_empty_one_only_where_it_is_expected() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let gate = gate(&server.url("/*"));
    for (method, length) in [("GET", false), ("POST", true)] {
        let request = OutgoingRequest { method: method.into(), ..request(&server.url("/")) };
        assert_eq!(send(&gate, &Rates::default(), request, Duration::from_secs(5)).unwrap().status, 204);
        let head = server.heads.recv().unwrap();
        assert_eq!(head.contains("content-length: 0\r\n"), length, "{head}");
        assert!(head.contains("x-a: 1\r\n"), "{head}");
    }
}

#[test]
fn what_no_pattern_names_is_not_even_resolved() {
    assert!(matches!(get(&Gate::closed(), "http://127.0.0.1:1/"), Err(Error::NotPermitted(_))));
    fn never(host: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        panic!("{host} was looked up")
    }
    let gate = gate_of("https://api.example.com/*", Proxies::default(), never);
    assert!(matches!(get(&gate, "https://other.invalid/"), Err(Error::NotPermitted(_))));
}

#[test]
fn a_name_that_stands_for_an_inner_address_is_refused() {
    fn inner(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let outer = SocketAddr::from(([93, 184, 216, 34], port));
        let address = match host.split('.').next().unwrap() {
            "loopback" => "127.0.0.1",
            "metadata" => "169.254.169.254",
            "mapped" => "::ffff:127.0.0.1",
            "compatible" => "::127.0.0.1",
            "nat64" => "64:ff9b::7f00:1",
            "sixtofour" => "2002:7f00:1::",
            "multicast" => "ff02::1",
            other => panic!("{other}"),
        };
        // Among public ones, as a name server would give that hopes for the second try.
        Ok(vec![outer, SocketAddr::new(address.parse().unwrap(), port)])
    }
    for name in ["loopback", "metadata", "mapped", "compatible", "nat64", "sixtofour", "multicast"] {
        let gate = gate_of("http://*.example.com/*", Proxies::default(), inner);
        let refused = get(&gate, &format!("http://{name}.example.com/"));
        assert!(
            matches!(&refused, Err(Error::NotPermitted(why)) if why.contains("resolves to")),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn an_address_passes_only_where_a_pattern_names_it_outright() {
    assert!(gate("http://169.254.169.254/*").permits(&"http://169.254.169.254/x".parse().unwrap()).is_ok());
    for odd in ["http://127.1:1/", "http://2130706433:1/"] {
        let refused = get(&gate(&format!("{odd}*")), odd);
        assert!(matches!(refused, Err(Error::NotPermitted(_))), "{odd}: {refused:?}");
    }
}

#[test]
fn a_name_is_resolved_once_and_what_was_checked_is_connected_to() {
    static FIRST: AtomicUsize = AtomicUsize::new(0);
    static LOOK_UPS: AtomicUsize = AtomicUsize::new(0);
    /// The server at first, and nothing that listens from then on.
    fn rebinding(_: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        let first = LOOK_UPS.fetch_add(1, Ordering::SeqCst) == 0;
        let port = if first { FIRST.load(Ordering::SeqCst) } else { 1 };
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()))])
    }
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    FIRST.store(server.address.port().into(), Ordering::SeqCst);
    let gate = gate_of("http://localhost/*", Proxies::default(), rebinding);
    assert_eq!(get(&gate, "http://localhost/").unwrap().body, b"ok");
    assert_eq!(LOOK_UPS.load(Ordering::SeqCst), 1);
}

fn behind(proxy: &Server) -> Proxies {
    let url = format!("http://user:secret@{}", proxy.address);
    Proxies::read(|name| (name == "ALL_PROXY").then(|| url.clone()))
}

#[test]
fn a_proxy_is_asked_by_name_and_the_patterns_hold_as_ever() {
    fn never(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        assert_eq!(host, "127.0.0.1", "only the proxy's own name is looked up");
        system(host, port)
    }
    // What is read after the answer to CONNECT is the answer to the request in the tunnel.
    let proxy = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gate = gate_of("http://api.example.com/*", behind(&proxy), never);
    assert_eq!(get(&gate, "http://api.example.com/x").unwrap().status, 200);
    let asked = proxy.heads.recv().unwrap();
    assert!(asked.starts_with("CONNECT api.example.com:80 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("proxy-authorization: basic "), "{asked}");
    assert!(proxy.heads.recv().unwrap().starts_with("GET /x HTTP/1.1\r\n"));
    assert!(matches!(get(&gate, "http://other.example.com/"), Err(Error::NotPermitted(_))));
}

#[test]
fn a_proxy_is_no_way_to_an_inner_address() {
    let proxy = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gate = gate_of("http://127.1/*", behind(&proxy), system);
    assert!(matches!(get(&gate, "http://127.1/"), Err(Error::NotPermitted(_))));
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 0);
}

#[test]
fn a_certificate_must_come_from_a_root_that_is_trusted() {
    let identity = || rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (known, unknown) = (identity(), identity());
    let [known_root, other_root] = [&known, &unknown].map(|i| Certificate::from_der(i.cert.der()).to_owned());
    let url = format!("https://localhost:{}/", https_server(known));
    let gate = |root| {
        let pattern = format!("{url}*").parse().unwrap();
        Gate::behind(vec![pattern], tls(&[root]), Proxies::default())
    };
    assert_eq!(get(&gate(known_root), &url).unwrap().body, b"ok");
    let refused = get(&gate(other_root), &url);
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
}

fn https_server(key: rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let secret = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], secret)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let stream: rustls::StreamOwned<_, TcpStream> =
                rustls::StreamOwned::new(session, stream.unwrap());
            // Ends with the handshake where the client does not trust it.
            answer_all(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", |_| true);
        }
    });
    port
}

#[test]
fn a_server_that_says_nothing_ends_as_a_timeout() {
    let server = Server::answering("");
    let request = OutgoingRequest { timeout_ms: Some(100), ..request(&server.url("/")) };
    let late = send(&gate(&server.url("/*")), &Rates::default(), request, Duration::from_secs(5));
    assert!(matches!(late, Err(Error::Timeout)), "{late:?}");
}

#[test]
fn no_request_waits_longer_than_its_caller_may_run() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    let late = send(
        &gate(&server.url("/*")),
        &Rates::default(),
        request(&server.url("/")),
        Duration::from_millis(100),
    );
    assert!(matches!(late, Err(Error::Timeout)), "{late:?}");
}

#[test]
fn a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not() {
    let told = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    let untold =
        [&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n500000\r\n"[..], &[0; 5 << 20]].concat();
    for answer in [told, untold] {
        let server = Server::answering(answer);
        let refused = get(&gate(&server.url("/*")), &server.url("/"));
        assert!(matches!(refused, Err(Error::TooLarge(MAX_BODY_BYTES))), "{refused:?}");
    }
}

#[test]
fn what_was_received_counts() {
    let body = vec![b'x'; 2 << 20];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let server = Server::answering([head.into_bytes(), body].concat());
    let rates = Rates::default();
    send(&gate(&server.url("/*")), &rates, request(&server.url("/")), Duration::from_secs(5)).unwrap();
    assert!(rates.take(Kind::Http, 8 << 20).is_err(), "the bucket is no longer full");
}

#[test]
fn the_agents_own_headers_can_not_be_set() {
    let headers = vec![("Host".into(), b"other".to_vec())];
    let request = OutgoingRequest { headers, ..request("http://127.0.0.1:1/") };
    let refused = send(&gate("http://127.0.0.1:1/*"), &Rates::default(), request, Duration::from_secs(1));
    assert!(matches!(refused, Err(Error::InvalidRequest(_))), "{refused:?}");
}
