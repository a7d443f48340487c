use tar::{Builder, Header};

use super::*;

const LIMIT: u64 = 1 << 20;

fn component(length: usize) -> Vec<u8> {
    let mut bytes = COMPONENT.to_vec();
    bytes.resize(length, 7);
    bytes
}

/// An entry of any kind, name and claimed size, as no honest tool would write it.
fn entry(kind: EntryType, name: &str, claimed: u64, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(claimed);
    header.set_mode(0o644);
    header.set_cksum();
    let mut written = header.as_bytes().to_vec();
    written.extend_from_slice(bytes);
    written.resize(written.len().next_multiple_of(BLOCK), 0);
    written
}

fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
    entry(EntryType::Regular, name, bytes.len() as u64, bytes)
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = entries.concat();
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn read(archive: &[u8]) -> Result<Vec<u8>, String> {
    Package::read(&STANDARD.encode(archive), LIMIT).map(|package| package.component().to_vec())
}

fn why(archive: &[u8]) -> String {
    read(archive).expect_err("it was taken")
}

#[test]
fn what_tools_write_is_read() {
    let wasm = component(3_000);
    assert_eq!(read(&archive(&[file("f.wasm", &wasm)])), Ok(wasm.clone()));
    let folder = entry(EntryType::Directory, "./app/", 0, b"");
    assert_eq!(read(&archive(&[folder, file("./app/f.wasm", &wasm)])), Ok(wasm.clone()));
    // A name past 100 bytes takes an entry of its own.
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(wasm.len() as u64);
    builder.append_data(&mut header, format!("{}/f.wasm", "long".repeat(50)), &wasm[..]).unwrap();
    assert_eq!(read(&builder.into_inner().unwrap()), Ok(wasm.clone()));
    let text = STANDARD.encode(archive(&[file("f.wasm", &wasm)]));
    let lines: Vec<&str> = text.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let broken = Package::read(&lines.join("\r\n"), LIMIT).unwrap();
    assert_eq!(broken.component(), wasm, "lines are put together");
    let padded = [archive(&[file("f.wasm", &wasm)]), vec![0; 20 * BLOCK]].concat();
    assert_eq!(read(&padded), Ok(wasm), "tools fill up the last record");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let wasm = component(100);
    for name in ["../f.wasm", "/etc/f.wasm", "a/../../f.wasm", "a/..", "..", "/"] {
        assert!(why(&archive(&[file(name, &wasm)])).contains("leads out of the archive"), "{name}");
        let folder = entry(EntryType::Directory, name, 0, b"");
        assert!(why(&archive(&[folder, file("f.wasm", &wasm)])).contains("leads out"), "{name}");
    }
    let mut odd = file("f?.wasm", &wasm);
    odd[1] = 0xff;
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&odd[..BLOCK]);
    header.set_cksum();
    odd[..BLOCK].copy_from_slice(header.as_bytes());
    assert!(why(&archive(&[odd])).contains("leads out"), "no UTF-8");
}

#[test]
fn only_files_and_folders_may_be_in_it() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::XGlobalHeader,
        EntryType::new(b'Z'),
    ] {
        let odd = entry(kind, "x.wasm", 0, b"");
        let told = why(&archive(&[odd, file("f.wasm", &component(100))]));
        assert!(told.contains("neither a file nor a folder"), "{kind:?}: {told}");
    }
    let sparse = entry(EntryType::GNUSparse, "x.wasm", 0, b"");
    assert!(read(&archive(&[sparse, file("f.wasm", &component(100))])).is_err());
}

#[test]
fn one_file_and_no_more() {
    let wasm = component(100);
    let told = why(&archive(&[file("a.wasm", &wasm), file("b.wasm", &wasm)]));
    assert!(told.contains("\"b.wasm\" is a second file"), "{told}");
    assert!(why(&archive(&[file("a.wasm", &wasm), file("README", b"")])).contains("a second file"));
    assert!(why(&archive(&[file("README", b"read me")])).contains("not a .wasm file"));
    assert!(why(&archive(&[])).contains("no file"));
    assert!(why(b"").contains("no file"));
    let folders = vec![entry(EntryType::Directory, "d/", 0, b""); MAX_ENTRIES + 1];
    assert!(why(&archive(&folders)).contains("entries"));
}

#[test]
fn sizes_that_are_claimed_are_looked_at_before_they_are_believed() {
    let wasm = component(100);
    for claimed in [513, LIMIT, 1 << 33, (1 << 36) - 1, u64::MAX >> 1, u64::MAX] {
        let told = why(&entry(EntryType::Regular, "f.wasm", claimed, &wasm));
        assert!(told.contains("longer than the archive") || told.contains("TAR"), "{claimed}: {told}");
    }
    let large = component(usize::try_from(LIMIT).unwrap() + 1);
    assert!(why(&archive(&[file("f.wasm", &large)])).contains("artifact_max_bytes"));
    let hidden = entry(EntryType::Directory, "d/", 512, &[1; 512]);
    assert!(read(&archive(&[hidden, file("f.wasm", &wasm)])).is_err(), "a folder holds nothing itself");
    // A size that a record before it claims.
    let record = b"20 size=99999999999\n";
    let claims = entry(EntryType::XHeader, "pax", record.len() as u64, record);
    assert!(read(&archive(&[claims, file("f.wasm", &wasm)])).is_err());
}

#[test]
fn nothing_may_follow_the_end() {
    let good = archive(&[file("f.wasm", &component(100))]);
    assert!(why(&[&good[..], b"x"].concat()).contains("follows"));
    let second = file("g.wasm", &component(100));
    assert!(why(&[good, second].concat()).contains("follows"));
}

#[test]
fn what_is_no_component_is_told_as_such() {
    for bytes in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0", b"#!/bin/sh\n"] {
        let told = why(&archive(&[file("f.wasm", bytes)]));
        assert!(told.contains("no WebAssembly component"), "{told}");
    }
    for text in ["%%%", "YQ", "YQ==YQ==", "Y Q=="] {
        assert!(Package::read(text, LIMIT).err().unwrap().contains("base64"), "{text}");
    }
    for noise in [&b"not a tar at all"[..], &[0x1f, 0x8b, 8, 0], &[7; 2_000]] {
        assert!(read(noise).is_err());
    }
}

#[test]
fn any_change_to_an_archive_is_read_or_refused() {
    let good = archive(&[file("f.wasm", &component(700))]);
    for at in 0..BLOCK {
        for value in [0, 1, b'/', b'9', 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Ok(component) = read(&bad) {
                assert_eq!(component.len(), 700, "byte {at} as {value}");
            }
        }
    }
    for length in (0..good.len()).step_by(37) {
        if let Ok(component) = read(&good[..length]) {
            assert_eq!(component.len(), 700, "cut at {length}");
        }
    }
}
