//! The compiled form of an artifact: taken as it is where its seal holds, and else made.

use std::fs::File;
use std::io;

use super::Again::{AFewTimes, Always, Never};
use super::{PrepareError, Preparer, Progress, failed};
use crate::compile::{CompileError, Fault, looks_like_component};
use crate::desired::Sha256;
use crate::engine::{Component, EngineError};
use crate::seal::Verdict;
use crate::status::Phase;

impl Preparer {
    /// The compiled form, if this device made it with these settings and nothing has touched it since.
    pub(super) fn sealed(&self, sha256: &Sha256) -> Option<Component> {
        let compiled = self.artifacts.compiled(sha256);
        let settings = self.runtime.settings();
        let checked = File::open(&compiled)
            .and_then(|mut file| self.sealer.check(sha256, settings.as_ref(), &mut file));
        let component = match checked {
            // SAFETY: the seal holds, so this device's compiler wrote the file, and it is unchanged. Between the look
            // and the mapping only this user could change it, to whom alone the directory is open and who could as well
            // change this process; the agent itself never writes to a file that stands under its name.
            Ok(Verdict::Holds) => unsafe { self.runtime.map(&compiled) },
            Ok(Verdict::OtherSettings) => {
                log::info!(
                    "artifact {sha256}: compiled by another version or with other settings; compiling it again"
                );
                return None;
            }
            Ok(Verdict::Broken) => {
                log::warn!("artifact {sha256}: its compiled form has changed; compiling it again");
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                log::info!(
                    "artifact {sha256}: its compiled form can not be read ({error}); compiling it again"
                );
                return None;
            }
        };
        component.inspect_err(|error| log::info!("artifact {sha256}: {error}; compiling it again")).ok()
    }

    /// Compiles an artifact, and keeps the compiled form once the engine has taken it.
    pub(super) fn compile(
        &self,
        sha256: &Sha256,
        progress: &Progress<'_>,
    ) -> Result<Component, PrepareError> {
        let wasm = self.artifacts.wasm(sha256);
        let refused = |error: CompileError| match error {
            CompileError::Superseded => PrepareError::Superseded,
            error => {
                let again = match error.fault() {
                    Fault::Device => Always,
                    // A component that takes more than the device ever has is not compiled for ever.
                    Fault::Either => AFewTimes,
                    Fault::Component => Never,
                };
                failed(Phase::Compiling, &error, again)
            }
        };
        looks_like_component(&wasm).map_err(refused)?;
        let disk = |error: io::Error| failed(Phase::Compiling, error, Always);
        let partial = self.artifacts.begin(self.artifacts.compiled(sha256)).map_err(disk)?;
        let written = partial.temporary();
        self.compiler.compile(&wasm, written, progress.superseded).map_err(refused)?;
        // SAFETY: our own compiler has just written the file into a directory that is open to this user alone.
        let component = unsafe { self.runtime.map(written) };
        let component = component.map_err(|error| {
            let again = if matches!(error, EngineError::Unmapped(_)) { AFewTimes } else { Never };
            failed(Phase::Compiling, error, again)
        })?;
        if let Some(settings) = self.runtime.settings() {
            let file = File::options().read(true).write(true).open(written);
            file.and_then(|mut file| self.sealer.seal(sha256, &settings, &mut file)).map_err(disk)?;
        }
        partial.finish().map_err(disk)?;
        Ok(component)
    }
}
