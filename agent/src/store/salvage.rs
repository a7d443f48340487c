//! Carries what can be read of one database over into another: from the front up to what is damaged, then from the
//! back. Every record has a checksum of its own, which whoever reads it later looks at.

use std::io::{self, BufReader, Read, Write};

use super::StoreError;

/// Bytes of the longest key and value that a record of ours can have in sled, chunks and names included.
const LONGEST: u32 = 64 << 10;
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
    let mut whole = true;
    let mut last = None;
    for entry in from.iter() {
        let Ok((key, value)) = entry else {
            whole = false;
            break;
        };
        put(&key, &value)?;
        last = Some(key);
    }
    if !whole {
        let after = from.iter().rev().map_while(Result::ok);
        for (key, value) in after.take_while(|(key, _)| last.as_ref().is_none_or(|last| key > last)) {
            put(&key, &value)?;
        }
    }
    to.flush()?;
    Ok((copied, whole))
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
