//! The values that functions keep (being built).
use twinlet_host::KeyValue;

/// All of them.
#[derive(Default)]
pub struct KeyValues;

impl KeyValues {
    /// Forgets.
    pub fn forget(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    /// Forgets.
    pub fn keep_only(&self, _: impl Fn(&str) -> bool) {}
}

impl KeyValue for KeyValues {
    fn get(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, String> {
        Err("not there yet".into())
    }
    fn set(&self, _: &str, _: &str, _: Option<&[u8]>) -> Result<(), String> {
        Err("not there yet".into())
    }
    fn keys(&self, _: &str, _: usize, _: usize) -> Result<Vec<String>, String> {
        Err("not there yet".into())
    }
}
