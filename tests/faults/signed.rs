//! Documents that nobody trusted has signed, and versions that go back: refused whole, with nothing fetched.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::process::{Command, Stdio};
use twinlet_tests::{Artifact, Desired, Function, Site, guests};

use crate::row::{Bed, Row, Tries, agent, binary};

pub(crate) const SIGNED: Row = Row {
    name: "signed",
    fault: "wrong signature or version",
    short: 10,
    full: 200,
    per_bed: 100,
    at_once: 1,
    left_out: no_signatures,
    bed: || Box::new(Signed::prepared()),
};

struct Signed {
    site: Site,
    ours: Ed25519KeyPair,
    theirs: Ed25519KeyPair,
    /// The last `$version` that was accepted.
    document: u64,
    /// The version of the function that serves.
    version: u64,
}

/// An agent from before there were signatures.
fn no_signatures() -> Option<String> {
    let mut command = Command::new(binary());
    let known = command.args(["keygen", "--help"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    (!known.is_ok_and(|status| status.success())).then(|| "this agent knows no signatures".to_owned())
}

fn key() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

/// The signature of a release, as the contract has it.
fn signature(key: &Ed25519KeyPair, id: &str, version: u64, sha256: &str) -> String {
    let message = format!("twinlet-function-v1\n{id}\n{version}\n{sha256}");
    STANDARD.encode(key.sign(message.as_bytes()))
}

impl Signed {
    fn prepared() -> Self {
        let (ours, theirs) = (key(), key());
        let builder = agent();
        let file = builder.state_dir().join("trusted-keys");
        std::fs::write(&file, STANDARD.encode(ours.public_key().as_ref())).unwrap();
        let builder = builder.env("TRUSTED_KEYS_FILE", file.display()).env("REQUIRE_SIGNATURES", true);
        let mut signed = Self { site: Site::start(builder), ours, theirs, document: 0, version: 100 };
        signed.applied(|desired| desired);
        signed
    }

    fn artifact(&self, version: u64) -> Artifact {
        self.site.artifact(&format!("fn-{version}"), guests::answers(&format!("version {version}")))
    }

    /// Applies the present version, rightly signed.
    fn applied(&mut self, with: impl FnOnce(Desired) -> Desired) {
        let artifact = self.artifact(self.version);
        let valid = signature(&self.ours, "fn", self.version, &artifact.sha256);
        let function = Function::of("fn", &artifact).version(self.version).set("signature", valid);
        self.document += 1;
        self.site.apply(self.document, |desired| with(desired.serving(function)));
        assert_eq!(self.site.agent.get("/fn").text(), format!("version {}", self.version));
    }
}

impl Bed for Signed {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let (mut dice, kind) = (tries.dice(), tries.number() % 10);
        let version = if kind == 7 { self.version - 1 - dice.throw(50) } else { self.version + 1 };
        let name = format!("fn-{version}-{}", tries.number());
        let artifact = self.site.artifact(&name, guests::answers(&name));
        let digest = artifact.sha256.as_str();
        let sign = |key, id, version, digest| Some(signature(key, id, version, digest));
        let given = match kind {
            0 => None,
            1 => sign(&self.theirs, "fn", version, digest),
            2 => sign(&self.ours, "other", version, digest),
            3 => sign(&self.ours, "fn", version + 1 + dice.throw(9), digest),
            4 => sign(&self.ours, "fn", version, &"ab".repeat(32)),
            5 => {
                let mut bytes = STANDARD.decode(signature(&self.ours, "fn", version, digest)).unwrap();
                let at = dice.index(bytes.len());
                bytes[at] ^= 1 << dice.throw(8);
                Some(STANDARD.encode(bytes))
            }
            6 => Some("x".repeat(dice.index(200))),
            // What is right is taken: a version that goes on, and one that goes back where the document says so.
            8 => {
                self.version += 1;
                return self.applied(|desired| desired);
            }
            9 => {
                self.version -= 1;
                self.applied(|desired| desired.set("allow_downgrade", true));
                self.version += 2;
                return self.applied(|desired| desired);
            }
            _ => sign(&self.ours, "fn", version, digest),
        };
        let mut function = Function::of("fn", &artifact).version(version);
        if let Some(given) = given {
            function = function.set("signature", given);
        }
        let mark = self.site.hub.mark();
        self.site.hub.publish_desired(Desired::version(self.document + 1).serving(function));
        let code = if kind == 7 { 409 } else { 400 };
        self.site.hub.reported_after(mark, "a refusal", |report| report["lastDesiredStatus"]["code"] == code);
        assert_eq!(self.site.agent.get("/fn").text(), format!("version {}", self.version));
        assert_eq!(self.site.artifacts.requests(&format!("{name}.wasm")), 0, "it was fetched");
        // So that the next refusal is another report.
        self.applied(|desired| desired);
    }
}
