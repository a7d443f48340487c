//! Carries what can be read of one database over into another: up to what is damaged, and on from behind it. Every
//! record has a checksum of its own, which whoever reads it later looks at.
//!
//! Never against the order of the keys: sled's way back brings a megabyte of constants into the program.

use std::io::{self, BufReader, Read, Write};

use super::StoreError;

/// Bytes of the longest key and value that a record of ours can have in sled, chunks and names included.
const LONGEST: u32 = 64 << 10;
/// Places behind damage that are tried.
const MOST_JUMPS: usize = 48;
/// Records between two times that sled gets rid of what it has in memory.
const AT_ONCE: usize = 256;

/// Copies all that can be read. Returns how many records that is, and whether it is all.
pub(super) fn copy(from: &sled::Db, to: &sled::Db) -> Result<(usize, bool), StoreError> {
    let mut copied = 0;
    let mut put = |key: &[u8], value: &[u8]| -> Result<(), StoreError> {
        to.insert(key, value)?;
        copied += 1;
        if copied % AT_ONCE == 0 {
            to.flush()?;
        }
        Ok(())
    };
    let (mut whole, mut jumps, mut start) = (true, Jumps::default(), Some(Vec::new()));
    while let Some(from_here) = start.take() {
        let mut last = None;
        for entry in from.range(from_here..) {
            let Ok((key, value)) = entry else {
                whole = false;
                start = jumps.beyond(last.as_deref());
                break;
            };
            put(&key, &value)?;
            last = Some(key);
        }
    }
    to.flush()?;
    Ok((copied, whole))
}

/// Where to read on behind what can not be read: ever further from the last key that could.
#[derive(Default)]
pub(super) struct Jumps {
    places: std::vec::IntoIter<Vec<u8>>,
    made: usize,
}

impl Jumps {
    /// The next place, behind the last key that was read since the one before; none where enough were tried.
    pub(super) fn beyond(&mut self, last: Option<&[u8]>) -> Option<Vec<u8>> {
        if let Some(last) = last {
            self.places = successors(last).into_iter();
        } else if self.made == 0 {
            // Nothing at all was read: by the first letters of all keys of ours.
            self.places = (b'a'..=b'z').map(|letter| vec![letter]).collect::<Vec<_>>().into_iter();
        }
        self.made += 1;
        self.places.next().filter(|_| self.made <= MOST_JUMPS)
    }
}

/// The first keys that do not begin as this one does: with all of its bytes, with all but one, and so on.
fn successors(key: &[u8]) -> Vec<Vec<u8>> {
    let up_to = |length: usize| {
        let (&last, begin) = key.get(..length)?.split_last()?;
        Some([begin, &[last.checked_add(1)?]].concat())
    };
    (1..=key.len()).rev().filter_map(up_to).collect()
}

/// Writes a record so that whoever reads knows that it is whole.
pub(super) fn send(key: &[u8], value: &[u8], out: &mut impl Write) -> io::Result<()> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.write_all(&length(key))?;
    out.write_all(&length(value))?;
    out.write_all(&checksum(key, value).to_be_bytes())?;
    out.write_all(key)?;
    out.write_all(value)
}

/// The next record; none at the end, or where what comes is cut off or is none.
pub(super) fn receive(from: &mut BufReader<impl Read>) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut number = || {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).ok().map(|()| u32::from_be_bytes(bytes))
    };
    let (of_key, of_value, said) = (number()?, number()?, number()?);
    if of_key.max(of_value) > LONGEST {
        return None;
    }
    let mut bytes = |length: u32| {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        from.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let (key, value) = (bytes(of_key)?, bytes(of_value)?);
    (checksum(&key, &value) == said).then_some((key, value))
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_damage_is_looked_for_ever_further_away() {
        let mut jumps = Jumps::default();
        assert_eq!(jumps.beyond(Some(b"t/a")), Some(b"t/b".to_vec()));
        assert_eq!(jumps.beyond(None), Some(b"t0".to_vec()));
        assert_eq!(jumps.beyond(Some(b"x/\xff")), Some(b"x0".to_vec()), "it read on, and found damage again");
        assert_eq!(jumps.beyond(None), Some(b"y".to_vec()));
        assert_eq!(jumps.beyond(None), None);
        let mut blind = Jumps::default();
        let places: Vec<_> = std::iter::from_fn(|| blind.beyond(None)).collect();
        assert_eq!((places.first(), places.len()), (Some(&b"a".to_vec()), 26));
        let mut endless = Jumps::default();
        assert!((0..1_000).filter_map(|_| endless.beyond(Some(b"t/a"))).count() <= MOST_JUMPS);
    }

    #[test]
    fn a_record_is_received_whole_or_not_at_all() -> io::Result<()> {
        let mut sent = Vec::new();
        send(b"key", &[7; 5000], &mut sent)?;
        send(b"", b"", &mut sent)?;
        let mut whole = BufReader::new(&sent[..]);
        assert_eq!(receive(&mut whole), Some((b"key".to_vec(), vec![7; 5000])));
        assert_eq!(receive(&mut whole), Some((Vec::new(), Vec::new())));
        assert_eq!(receive(&mut whole), None);
        assert_eq!(receive(&mut BufReader::new(&sent[..4000])), None);
        sent[100] ^= 1;
        assert_eq!(receive(&mut BufReader::new(&sent[..])), None);
        Ok(())
    }
}
