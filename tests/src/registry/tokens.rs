//! Who gives out the tokens that a registry wants: a small stand-in, whose tokens the real registry checks.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use crate::wait::Journal;

/// What the registry calls itself.
pub(super) const SERVICE: &str = "test registry, with a comma";
/// Who signs.
pub(super) const ISSUER: &str = "twinlet tests";

/// A server that gives [`super::LOGIN`], and nobody else, a token to pull what it asks for.
pub(super) struct Tokens {
    port: u16,
    signer: Arc<Signer>,
    given: Journal<String>,
}

struct Signer {
    certificate: rcgen::Certificate,
    key: EcdsaKeyPair,
}

impl Tokens {
    pub(super) fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["tokens".to_owned()]).unwrap().self_signed(&key).unwrap();
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random)
            .unwrap();
        let signer = Arc::new(Signer { certificate, key });
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let tokens = Self {
            port: listener.local_addr().unwrap().port(),
            signer: signer.clone(),
            given: Journal::default(),
        };
        let given = tokens.given.clone();
        let accept = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away is its own affair.
                answer(stream, &signer, &given).ok();
            }
        };
        thread::Builder::new().name("tokens".to_owned()).spawn(accept).unwrap();
        tokens
    }

    pub(super) fn realm(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    pub(super) fn certificate(&self) -> String {
        self.signer.certificate.pem()
    }

    pub(super) fn given(&self) -> usize {
        self.given.mark()
    }

    pub(super) fn token(&self, name: &str, actions: &[&str]) -> String {
        self.signer.token(name, actions)
    }
}

impl Signer {
    /// A JSON Web Token as the registry's specification has it.
    fn token(&self, name: &str, actions: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let certificate = STANDARD.encode(self.certificate.der());
        let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [certificate] });
        let claims = json!({
            "iss": ISSUER, "sub": super::LOGIN.0, "aud": SERVICE, "jti": "1",
            "iat": now, "nbf": now - 60, "exp": now + 300,
            "access": [{ "type": "repository", "name": name, "actions": actions }],
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn answer(mut stream: TcpStream, signer: &Signer, given: &Journal<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut known = false;
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        known |= name.eq_ignore_ascii_case("authorization") && value == super::basic();
    }
    let scope = first.split_once("scope=repository%3A").and_then(|(_, rest)| rest.split_once("%3Apull"));
    let asked_for_us = first.contains("service=test%20registry%2C%20with%20a%20comma");
    let (status, body) = match scope.filter(|_| known && asked_for_us) {
        Some((name, _)) => {
            let name = name.replace("%2F", "/");
            let token = signer.token(&name, &["pull"]);
            given.push(name);
            ("200 OK", json!({ "token": token, "expires_in": 300 }).to_string())
        }
        None => ("401 Unauthorized", json!({ "errors": [{ "code": "UNAUTHORIZED" }] }).to_string()),
    };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}
