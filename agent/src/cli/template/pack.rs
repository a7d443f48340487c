//! Makes a component of the core WebAssembly module that cargo leaves.

use std::error::Error;
use std::fs;

use wit_component::ComponentEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(module), Some(component)) = (args.next(), args.next()) else {
        return Err("usage: _pack <core module.wasm> <component.wasm>".into());
    };
    let module = fs::read(module)?;
    fs::write(component, ComponentEncoder::default().validate(true).module(&module)?.encode()?)?;
    Ok(())
}
