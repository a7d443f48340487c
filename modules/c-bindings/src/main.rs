//! Generates C bindings for a world: its header, its source, and an object file that carries its type to `pack`. Knows
//! nothing of who compiles them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

const USAGE: &str = "usage: c-bindings <folder of a WIT package> <world> <output folder>";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("c-bindings: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(wit), Some(world), Some(output), None) = (args.next(), args.next(), args.next(), args.next())
    else {
        bail!(USAGE)
    };
    let world = world.to_str().context("the world's name is no UTF-8")?;
    let output = PathBuf::from(output);
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(&wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let path = output.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
