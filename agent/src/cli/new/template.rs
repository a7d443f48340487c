//! The files of a new project. The WIT texts are those of this repository.

use crate::desired::FunctionId;

/// One file of the project.
pub(super) struct File {
    /// Where it is in the project.
    pub(super) path: &'static str,
    /// What it says, with places that [`filled`] fills.
    pub(super) text: &'static str,
    /// Its permissions, before the umask.
    pub(super) mode: u32,
}

/// The releases that the samples in `modules/` are built with; a test compares them.
const WIT_BINDGEN: &str = "0.61.1";
const WIT_COMPONENT: &str = "0.258";
/// The toolchain that this repository is built with; a test compares it.
const CHANNEL: &str = "1.95.0";

macro_rules! file {
    ($path:literal, $source:literal) => {
        file!($path, $source, 0o666)
    };
    ($path:literal, $source:literal, $mode:literal) => {
        File { path: $path, text: include_str!($source), mode: $mode }
    };
}

/// All of them.
pub(super) const FILES: &[File] = &[
    file!(".gitignore", "../template/gitignore"),
    file!("Cargo.toml", "../template/Cargo.toml.in"),
    file!("README.md", "../template/README.md"),
    file!("build", "../template/build.sh", 0o777),
    file!("pack/Cargo.toml", "../template/pack.toml.in"),
    file!("pack/src/main.rs", "../template/pack.rs"),
    file!("rust-toolchain.toml", "../template/rust-toolchain.toml"),
    file!("src/lib.rs", "../template/lib.rs"),
    file!("wit/world.wit", "../template/world.wit"),
    file!("wit/deps/twinlet/clock.wit", "../../../../wit/clock.wit"),
    file!("wit/deps/twinlet/http-client.wit", "../../../../wit/http-client.wit"),
    file!("wit/deps/twinlet/http-handler.wit", "../../../../wit/http-handler.wit"),
    file!("wit/deps/twinlet/metrics.wit", "../../../../wit/metrics.wit"),
    file!("wit/deps/twinlet/telemetry.wit", "../../../../wit/telemetry.wit"),
    file!("wit/deps/twinlet/twin.wit", "../../../../wit/twin.wit"),
    file!("wit/deps/twinlet/types.wit", "../../../../wit/types.wit"),
    file!("wit/deps/config/store.wit", "../../../../wit/deps/config/store.wit"),
    file!("wit/deps/keyvalue/store.wit", "../../../../wit/deps/keyvalue/store.wit"),
    file!("wit/deps/logging/logging.wit", "../../../../wit/deps/logging/logging.wit"),
];

/// A file's text for one function.
pub(super) fn filled(text: &str, id: &FunctionId) -> String {
    let name = id.as_str();
    // A package's name begins with no digit.
    let package =
        if name.starts_with(|c: char| c.is_ascii_digit()) { format!("fn-{name}") } else { name.into() };
    text.replace("@NAME@", name)
        .replace("@PACKAGE@", &package)
        .replace("@WIT_BINDGEN@", WIT_BINDGEN)
        .replace("@WIT_COMPONENT@", WIT_COMPONENT)
        .replace("@CHANNEL@", CHANNEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_those_of_this_repository() {
        let modules = include_str!("../../../../modules/Cargo.toml");
        assert!(modules.contains(&format!("wit-bindgen = {{ version = \"{WIT_BINDGEN}\"")));
        let pack = include_str!("../../../../modules/pack/Cargo.toml");
        assert!(pack.contains(&format!("wit-component = {{ version = \"{WIT_COMPONENT}\"")));
        let toolchain = include_str!("../../../../rust-toolchain.toml");
        assert!(toolchain.contains(&format!("channel = \"{CHANNEL}\"")));
    }

    #[test]
    fn every_place_is_filled_and_a_package_begins_with_a_letter() {
        let id: FunctionId = "7up".parse().unwrap();
        for file in FILES {
            let text = filled(file.text, &id);
            let place = text
                .split('@')
                .any(|part| part.len() > 2 && part.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
            assert!(!place, "{}", file.path);
        }
        let manifest = FILES.iter().find(|file| file.path == "Cargo.toml").unwrap();
        assert!(filled(manifest.text, &id).contains("name = \"fn-7up\""));
    }
}
