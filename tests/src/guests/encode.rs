//! Components from text: a fixture in its frame, and a world of just what it imports and exports.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::OnceLock;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::repository;

/// A text of `tests/guests`.
macro_rules! wat {
    ($name:literal) => {
        include_str!(concat!("../../guests/", $name, ".wat"))
    };
}
pub(super) use wat;

const FRAME: &str = wat!("frame");
const BEYOND: &str = include_str!("../../guests/beyond.wit");
/// What hands its result back in memory, so that the memory is reset once the result was taken.
const ANSWERING: [&str; 5] = [
    "twinlet:device/http-handler@0.1.0#handle",
    "twinlet:device/actor@0.1.0#handle-call",
    "twinlet:device/on-request@0.1.0#on-request",
    "twinlet:device/on-response@0.1.0#on-response",
    "twinlet:device/on-error@0.1.0#on-error",
];

/// A fixture with a text in its place.
pub(super) fn with_text(wat: &str, text: &str) -> String {
    assert!(text.len() < 3000 && !text.contains(['"', '\\']), "does not fit the fixture's data: {text}");
    let escape =
        |c: char| if c.is_ascii_control() { format!("\\{:02x}", u32::from(c)) } else { c.to_string() };
    let written: String = text.chars().map(escape).collect();
    wat.replace("@TEXT@", &written).replace("@LEN@", &text.len().to_string())
}

/// Bytes as they stand in a data segment.
pub(super) fn data(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    })
}

/// The core module of a fixture: the frame with the fixture's imports and body in their places.
pub(super) fn module(body: &str) -> Vec<u8> {
    let imports: String = body.lines().filter_map(|line| line.strip_prefix(";;IMPORT ")).collect();
    let answering = ANSWERING.iter().filter(|name| body.contains(*name));
    let posts: String = answering
        .map(|name| {
            format!("(func (export \"cabi_post_{name}\") (param i32) (global.set $free (i32.const 4096)))")
        })
        .collect();
    let frame = FRAME.replace(";;IMPORTS", &imports).replace(";;POSTS", &posts);
    wat::parse_str(frame.replace(";;BODY", body)).unwrap()
}

/// A component that needs no frame and no interfaces.
pub(super) fn wat_component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A fixture as a component.
pub(super) fn component(body: &str) -> Vec<u8> {
    let mut resolve = contract().clone();
    let file = format!("package test:guest;\n{}\n{BEYOND}", world(body));
    let package = resolve.push_str("guest.wit", &file).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = module(body);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// The interfaces that stand in a fixture's imports and exports, as a world.
fn world(body: &str) -> String {
    let imported = |line: &str| {
        let rest = line.strip_prefix(";;IMPORT (import \"")?;
        rest.split_once('"').map(|(interface, _)| format!("import {interface};\n"))
    };
    let exported = |rest: &str| rest.split_once('#').map(|(interface, _)| format!("export {interface};\n"));
    let imports = body.lines().filter_map(imported);
    let exports = body.split("(export \"").skip(1).filter_map(exported);
    let interfaces: BTreeSet<String> = imports.chain(exports).collect();
    format!("world guest {{\n{}}}\n", interfaces.into_iter().collect::<String>())
}

/// The public contract and what `wasi:http/proxy` needs, read once.
fn contract() -> &'static Resolve {
    static CONTRACT: OnceLock<Resolve> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut resolve = Resolve::default();
        resolve.push_dir(repository().join("wit")).unwrap();
        resolve.push_dir(repository().join("modules/wit-proxy")).unwrap();
        resolve
    })
}
