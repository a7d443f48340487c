//! Artifacts that are not what the document says: none of them ever serves, what served goes on, and the right one is
//! taken once it is there.

use twinlet_tests::dice::Dice;
use twinlet_tests::{Desired, Function, Site, guests};

use crate::row::{Bed, Row, Tries, agent, everywhere};

pub(crate) const WRONG: Row = Row {
    name: "wrong",
    fault: "wrong hash, size or bytes",
    short: 10,
    full: 200,
    per_bed: 50,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Wrong(Site::start(agent()).serving("fn", guests::answers("right")), 1)),
};

/// The site, and the last version.
struct Wrong(Site, u64);

impl Wrong {
    /// A function whose artifact is wrong.
    fn function(&self, number: u32, dice: &mut Dice) -> Function {
        let (name, version) = (format!("wrong-{number}"), self.1);
        let bytes = guests::padded(guests::answers(&format!("wrong {number}")), dice.index(5_000));
        let artifact = self.0.artifact(&name, bytes.clone());
        let function = Function::of("fn", &artifact).version(version);
        let mut other = bytes.clone();
        match dice.throw(5) {
            0 => {
                let at = dice.index(artifact.sha256.len());
                let mut digest = artifact.sha256.into_bytes();
                digest[at] = if digest[at] == b'0' { b'1' } else { b'0' };
                return function.set("sha256", String::from_utf8(digest).unwrap());
            }
            1 => return function.set("size", bytes.len() + 1 + dice.index(1_000)),
            2 => return function.set("size", bytes.len() - 1 - dice.index(1_000)),
            3 => {
                for _ in 0..=dice.throw(8) {
                    let at = dice.index(other.len());
                    other[at] ^= 1 << dice.throw(8);
                }
                other[0] = 1; // however the bits fell, they are not the same
            }
            _ => other.truncate(dice.index(bytes.len())),
        }
        self.0.artifact(&name, other);
        function
    }
}

impl Bed for Wrong {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        self.1 += 1;
        let function = self.function(tries.number(), &mut tries.dice());
        let (Self(site, version), mark) = (self, 0);
        site.hub.publish_desired(Desired::version(*version).serving(function));
        site.hub.reported_after(mark, "what is wrong", |report| {
            let shown = &report["functions"]["fn"];
            report["lastDesiredVersion"] == *version
                && shown["version"] == *version
                && shown["lastError"].is_string()
        });
        assert_eq!(site.agent.get("/fn").text(), "right");
        *version += 1;
        let right = Function::of("fn", &site.artifact("fn", guests::answers("right"))).version(*version);
        site.apply(*version, |desired| desired.serving(right));
        assert_eq!(site.agent.get("/fn").text(), "right");
    }
}
