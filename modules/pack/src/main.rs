//! Makes a component of a core WebAssembly module that was built against `wit/`; knows nothing of who built it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldItem, WorldKey};

const USAGE: &str = "usage: pack <core module.wasm> <component.wasm>";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(input), Some(output), None) = (args.next(), args.next(), args.next()) else { bail!(USAGE) };
    let module = std::fs::read(&input).with_context(|| format!("cannot read {}", input.display()))?;
    let component = encode(&module).with_context(|| format!("{} makes no component", input.display()))?;
    let summary = describe(&component)?;
    std::fs::write(&output, &component).with_context(|| format!("cannot write {}", output.display()))?;
    eprintln!("{}: {summary}", output.file_name().unwrap_or_default().display());
    Ok(())
}

fn encode(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Size, sha256, and what the component imports and exports, one per line.
fn describe(component: &[u8]) -> anyhow::Result<String> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("what was encoded is no component")
    };
    let digest = Sha256::digest(component);
    let mut lines = vec![format!("{} bytes, sha256 {digest:x}", component.len())];
    let world = resolve.worlds.get(world).context("the component has no world")?;
    lines.extend(world.exports.iter().map(|item| format!("  exports {}", name(&resolve, item))));
    lines.extend(world.imports.iter().map(|item| format!("  imports {}", name(&resolve, item))));
    Ok(lines.join("\n"))
}

fn name(resolve: &Resolve, (key, _): (&WorldKey, &WorldItem)) -> String {
    resolve.name_world_key(key)
}
