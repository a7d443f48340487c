//! How tables lie in sled: a record's first chunk under `t/table/key`, the others under `x/table/key` and their index.
//! The first begins with a format version, a checksum over all that the record is, and its length.

use super::CHUNK_BYTES;
use super::table::MAX_VALUE_BYTES;

/// Of the layout.
pub(super) const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 4 + 4;
/// The chunks after the first that a value may have.
#[allow(clippy::cast_possible_truncation)] // 24
pub(super) const MAX_CHUNKS: u8 = (MAX_VALUE_BYTES + HEAD_BYTES).div_ceil(CHUNK_BYTES) as u8;

/// What a record begins with.
pub(super) struct Head {
    pub(super) format: u8,
    checksum: u32,
    length: u32,
}

impl Head {
    /// The head of a first chunk, and what follows it there.
    pub(super) fn read(first: &[u8]) -> Option<(Self, &[u8])> {
        let (&[format, a, b, c, d, e, f, g, h], rest) = first.split_first_chunk::<HEAD_BYTES>()?;
        let (checksum, length) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Some((Self { format, checksum, length }, rest))
    }

    /// Bytes of the value.
    pub(super) fn length(&self) -> usize {
        self.length as usize
    }

    /// How many chunks follow the first, and never more than a value may have.
    pub(super) fn more_chunks(&self) -> u8 {
        let bytes = self.length().saturating_add(HEAD_BYTES);
        let more = bytes.div_ceil(CHUNK_BYTES).saturating_sub(1);
        u8::try_from(more).unwrap_or(MAX_CHUNKS).min(MAX_CHUNKS)
    }

    /// Whether this is the value that was written under this key.
    pub(super) fn fits(&self, table: &str, key: &[u8], value: &[u8]) -> bool {
        u32::try_from(value.len()) == Ok(self.length) && self.checksum == checksum(table, key, value)
    }
}

/// A value as its first chunk, head included, and the others.
pub(super) fn cut<'a>(
    table: &str,
    key: &[u8],
    value: &'a [u8],
) -> (Vec<u8>, impl Iterator<Item = &'a [u8]> + use<'a>) {
    let (begin, more) = value.split_at(value.len().min(CHUNK_BYTES - HEAD_BYTES));
    let mut first = Vec::with_capacity(HEAD_BYTES + begin.len());
    first.push(FORMAT);
    first.extend_from_slice(&checksum(table, key, value).to_be_bytes());
    // A longer value than MAX_VALUE_BYTES is refused before it comes here.
    first.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    first.extend_from_slice(begin);
    (first, more.chunks(CHUNK_BYTES))
}

fn checksum(table: &str, key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [table.as_bytes(), b"/", key, value] {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Where a record begins.
pub(super) fn key(table: &str, key: &[u8]) -> Vec<u8> {
    [b"t/", table.as_bytes(), b"/", key].concat()
}

/// The key of what begins there.
pub(super) fn key_of<'a>(table: &str, place: &'a [u8]) -> &'a [u8] {
    place.get(b"t/".len() + table.len() + b"/".len()..).unwrap_or_default()
}

/// Where its other chunks are. No two records share a place: the last byte is the index, all before it are the key.
pub(super) fn chunk_key(table: &str, key: &[u8], index: u8) -> Vec<u8> {
    [b"x/", table.as_bytes(), b"/", key, &[index]].concat()
}

/// A first chunk as the disk gives it: whatever it says, its value is no larger than a value may be, and what is cut
/// fits when it is put together.
#[cfg(fuzzing)]
pub fn fuzz_layout(data: &[u8]) {
    if let Some((head, rest)) = Head::read(data) {
        assert!(head.more_chunks() <= MAX_CHUNKS);
        head.fits("t", b"k", rest);
    }
    if data.len() <= MAX_VALUE_BYTES {
        let (first, more) = cut("t", b"k", data);
        let whole: Vec<u8> = more.fold(first, |mut whole, chunk| {
            whole.extend_from_slice(chunk);
            whole
        });
        let read = Head::read(&whole).map(|(head, value)| head.fits("t", b"k", value));
        assert_eq!(read, Some(true));
    }
}
