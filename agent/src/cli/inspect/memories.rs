//! The linear memories that a component's core modules define, read from its binary: sections, lengths and limits, and
//! nothing else. What does not read ends the search; the compiler is the judge of the rest.

/// A linear memory's limits, in pages of 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// What it begins with.
    pub(super) min: u64,
    /// What it may grow to by its own word.
    pub(super) max: Option<u64>,
}

/// Bytes of a module's or component's preamble, whose layer is in the last two.
const PREAMBLE: usize = 8;
/// Components within components past which nothing is looked for.
const MAX_DEPTH: u32 = 16;

/// The memories of a component and of all that is in it.
pub(super) fn of(component: &[u8]) -> Vec<Memory> {
    let mut found = Vec::new();
    search(component, 0, &mut found);
    found
}

fn search(bytes: &[u8], depth: u32, found: &mut Vec<Memory>) -> Option<()> {
    let (head, mut rest) = bytes.split_at_checked(PREAMBLE)?;
    let in_component = head.ends_with(&[1, 0]);
    while let Some((id, after)) = rest.split_first() {
        rest = after;
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let (section, after) = rest.split_at_checked(length)?;
        rest = after;
        match (in_component, id) {
            // A core module, and a component.
            (true, 1 | 4) if depth < MAX_DEPTH => {
                search(section, depth + 1, found);
            }
            // A core module's memories.
            (false, 5) => {
                limits(section, found);
            }
            _ => {}
        }
    }
    Some(())
}

fn limits(mut section: &[u8], found: &mut Vec<Memory>) -> Option<()> {
    for _ in 0..number(&mut section)? {
        let flags = number(&mut section)?;
        let min = number(&mut section)?;
        let max = if flags & 1 == 1 { Some(number(&mut section)?) } else { None };
        found.push(Memory { min, max });
    }
    Some(())
}

/// An unsigned LEB128 number of at most 64 bits, taken from the front.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(layer: &[u8; 4], id: u8, section: &[u8]) -> Vec<u8> {
        [&b"\0asm"[..], layer, &[id, u8::try_from(section.len()).unwrap()], section].concat()
    }

    #[test]
    fn memories_are_found_however_deep_they_lie() {
        // Two memories: 17 pages and more, and 2 to 300.
        let module = nested(b"\x01\0\0\0", 5, &[2, 0, 17, 1, 2, 0xac, 2]);
        let inner = nested(b"\x0d\0\x01\0", 1, &module);
        let outer = nested(b"\x0d\0\x01\0", 4, &inner);
        let expected = [Memory { min: 17, max: None }, Memory { min: 2, max: Some(300) }];
        assert_eq!(of(&outer), expected);
        assert_eq!(of(&outer[..outer.len() - 1]), [], "a section that is cut off is not read");
    }

    #[test]
    fn what_is_no_component_has_none() {
        for bytes in [
            &b""[..],
            b"\0asm",
            b"\0asm\x0d\0\x01\0",
            b"\0asm\x0d\0\x01\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(of(bytes), []);
        }
        let sample = include_bytes!("../../../../modules/prebuilt/hello-http.wasm");
        assert!(matches!(of(sample)[..], [Memory { min: 1.., .. }]));
    }
}
