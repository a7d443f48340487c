//! How much one instance may hold. Time is not here: the agent's engine stops a guest by its epoch deadline.

use wasmtime::ResourceLimiter;

/// Elements in each table of an instance.
pub const MAX_TABLE_ELEMENTS: usize = 20_000;
/// Core instances in one component instance. Components made with WASI adapters have around five.
pub const MAX_CORE_INSTANCES: usize = 32;
/// Linear memories in one component instance.
pub const MAX_MEMORIES: usize = 8;
/// Tables in one component instance.
pub const MAX_TABLES: usize = 16;
/// Host resources (pollables, streams and the like) that one instance may hold.
pub const MAX_RESOURCES: usize = 1_024;
/// Bytes that a guest may hand to the host in one call.
pub const HOST_CALL_BYTES: usize = 8 << 20;
/// Bytes of randomness in one call.
pub const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// Counts an instance's linear memory over all of its memories, and refuses growth past the function's limit.
pub struct Limits {
    max_memory_bytes: usize,
    memory_bytes: usize,
}

impl Limits {
    pub(crate) fn new(max_memory_bytes: usize) -> Self {
        Self { max_memory_bytes, memory_bytes: 0 }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.max_memory_bytes {
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_counts_over_all_memories() -> wasmtime::Result<()> {
        let mut limits = Limits::new(300);
        assert!(limits.memory_growing(0, 200, None)?);
        assert!(limits.memory_growing(0, 100, None)?);
        assert!(!limits.memory_growing(100, 101, None)?);
        assert!(!limits.memory_growing(0, 1, None)?);
        Ok(())
    }
}
