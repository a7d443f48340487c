//! Functions of one document that all answer with the document's version, to see that they change together or not at
//! all; knows nothing of how they change.

use std::time::Instant;

use crate::{Agent, ArtifactServer, DEADLINE, Desired, Function, guests};

/// The functions, each on the route of its name.
pub const SET: [&str; 3] = ["set-a", "set-b", "set-c"];

/// What a client that asks for them in turn has seen so far. Once one function has answered for a version, none may
/// answer for an older one: that would be a mix of two documents.
#[derive(Debug, Default)]
pub struct Whole {
    newest: u64,
}

impl Whole {
    /// A client that has seen the set of this version.
    pub fn seen(version: u64) -> Self {
        Self { newest: version }
    }

    /// Adds the set of this version to a desired state.
    pub fn add_to(desired: Desired, artifacts: &ArtifactServer, version: u64) -> Desired {
        SET.iter().fold(desired, |desired, id| {
            let bytes = guests::answers(&format!("{id} {version}"));
            let artifact = artifacts.serve(&format!("{id}-{version}.wasm"), bytes);
            desired.serving(Function::of(id, &artifact).version(version))
        })
    }

    /// The version that is served, once all functions have answered for it in one round, with none that answers for an
    /// older one than any before. Nothing newer than `latest` was ever asked for.
    pub fn check(&mut self, agent: &Agent, latest: u64) -> u64 {
        let end = Instant::now() + DEADLINE;
        while !self.round(agent, latest) {
            assert!(Instant::now() < end, "the set does not serve version {} as a whole", self.newest);
            std::thread::yield_now();
        }
        self.newest
    }

    /// Waits until the whole set serves this version.
    pub fn reaches(&mut self, agent: &Agent, version: u64) {
        let end = Instant::now() + DEADLINE;
        while self.check(agent, version) < version {
            assert!(Instant::now() < end, "the set does not reach version {version}: {}", self.newest);
        }
    }

    /// Asks each function once. True where all have answered for the same version. A function that does not answer
    /// (503 while the first set is prepared, say) makes it false; another answer than a version is a failure.
    pub fn round(&mut self, agent: &Agent, latest: u64) -> bool {
        let mut versions = Vec::new();
        for id in SET {
            let Ok(answer) = agent.request("GET", &format!("/{id}")).try_send() else { continue };
            if answer.status != 200 {
                assert!(matches!(answer.status, 404 | 503), "/{id}: {} {}", answer.status, answer.text());
                continue;
            }
            let text = answer.text();
            let version = text.strip_prefix(&format!("{id} ")).and_then(|version| version.parse().ok());
            let version: u64 = version.unwrap_or_else(|| panic!("/{id} answers `{text}`"));
            let newest = self.newest;
            assert!(version >= newest, "a mix: /{id} serves {version} after {newest} was served");
            assert!(version <= latest, "/{id} serves {version}, and {latest} is the latest there is");
            self.newest = version;
            versions.push(version);
        }
        versions.len() == SET.len() && versions.iter().all(|version| *version == self.newest)
    }

    /// The newest version that was seen; 0 for none.
    pub fn newest(&self) -> u64 {
        self.newest
    }
}
