//! `wasi:keyvalue/store`: values that a function keeps on the device. Knows nothing of the disk, which is behind
//! [`KeyValue`].

use wasmtime::component::Resource;

pub use crate::bindings::wasi::keyvalue::store::{Error, KeyResponse};

use crate::Guest;
use crate::bindings::wasi::keyvalue::store::{Host, HostBucket};
use crate::rates::Kind;

/// Bytes of one key.
pub const MAX_KEY_BYTES: usize = 128;
/// Bytes of one value.
pub const MAX_VALUE_BYTES: usize = 64 << 10;
/// Keys in one page of a list.
const PAGE: usize = 256;

/// Keeps the values of functions, each apart from the others', and within its quota.
pub trait KeyValue: Send + Sync {
    /// A key's value.
    fn get(&self, function_id: &str, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Sets a key, or with none removes it; on the disk when this returns. Over the quota it changes nothing.
    fn set(&self, function_id: &str, key: &str, value: Option<&[u8]>) -> Result<(), String>;
    /// Up to `limit` keys in alphabetical order, from the `from`th on.
    fn keys(&self, function_id: &str, from: usize, limit: usize) -> Result<Vec<String>, String>;
}

/// The one bucket of a function, opened.
pub struct Bucket;

impl Host for Guest {
    fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        self.throttle(0);
        if !matches!(identifier.as_str(), "" | "default") {
            return Ok(Err(Error::NoSuchStore));
        }
        Ok(Ok(self.table().push(Bucket)?))
    }
}

impl HostBucket for Guest {
    fn get(&mut self, _: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.throttle(MAX_VALUE_BYTES);
        // No key is longer, so that one is not worth a look at the disk.
        if key.len() > MAX_KEY_BYTES {
            return Ok(Ok(None));
        }
        let Self { environment, .. } = self;
        Ok(environment.keyvalue.get(&environment.function_id, &key).map_err(Error::Other))
    }

    fn set(
        &mut self,
        _: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        if value.len() > MAX_VALUE_BYTES {
            return Ok(Err(Error::Other(format!("a value has at most {MAX_VALUE_BYTES} bytes"))));
        }
        Ok(self.write(&key, Some(&value)))
    }

    fn delete(&mut self, _: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.write(&key, None))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        Ok(HostBucket::get(self, bucket, key)?.map(|value| value.is_some()))
    }

    fn list_keys(
        &mut self,
        _: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        self.throttle(PAGE * MAX_KEY_BYTES);
        let from = usize::try_from(cursor.unwrap_or(0)).unwrap_or(usize::MAX);
        let found = self.environment.keyvalue.keys(&self.environment.function_id, from, PAGE);
        let response = |keys: Vec<String>| {
            let cursor = (keys.len() == PAGE).then(|| from.saturating_add(PAGE) as u64);
            KeyResponse { keys, cursor }
        };
        Ok(found.map(response).map_err(Error::Other))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table().delete(bucket)?;
        Ok(())
    }
}

impl Guest {
    fn write(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Error::Other(format!("a key has 1 to {MAX_KEY_BYTES} bytes")));
        }
        if !self.may(Kind::Storage, key.len() + value.map_or(0, <[u8]>::len)) {
            return Err(Error::Other("rate limited: try again later".into()));
        }
        let kept =
            self.waiting(|guest| guest.environment.keyvalue.set(&guest.environment.function_id, key, value));
        kept.map_err(Error::Other)
    }
}
