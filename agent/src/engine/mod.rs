//! The one wasmtime engine: its settings, its deadline clock and its linker. Knows components, not functions.
//!
//! The settings that compiled code depends on are [`tunables`], shared with the compiling child; how instances get
//! their memory is decided here alone.

mod describe;
mod exports;
#[cfg(feature = "compiler")]
mod settings;
mod ticker;

use std::path::Path;
use std::time::Instant;

use twinlet_host::Guest;
use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::desired::Entrypoint;
pub use describe::Names;
pub use exports::{Answerer, Exports, Handlers};
use ticker::Ticker;
pub use ticker::{Running, TICK};
pub use wasmtime::component::Component;

/// Address space kept for each linear memory. The default of 4 GiB fails on small boards; with less, compiled code
/// checks its bounds.
const MEMORY_RESERVATION: u64 = if cfg!(target_pointer_width = "64") { 64 << 20 } else { 1 << 20 };
const MEMORY_GUARD: u64 = 64 << 10;
/// Stack of the code of a guest; a worker's own stack is larger.
pub const GUEST_STACK: usize = 512 << 10;
/// Component instances that can be at once, over all functions.
const MAX_INSTANCES: u32 = 256;
/// Of a memory that is given back, so much is zeroed in place; the rest goes back to the system.
const KEEP_RESIDENT: usize = 64 << 10;
/// Given-back memories that stay warm.
const WARM_SLOTS: u32 = 16;

/// The release of wasmtime in this build; it gives out none itself, so a test compares this with `Cargo.lock`.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Why the engine refuses something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine itself could not be set up.
    #[error("setting up the engine: {0}")]
    Setup(String),
    /// Compiled code that this engine can not use: made by another version or with other settings, or damaged.
    #[error("the compiled form can not be used: {0}")]
    Stale(String),
    /// The system did not map compiled code, as for want of memory or of descriptors.
    #[error("mapping the compiled form: {0}")]
    Unmapped(String),
    /// It imports what no guest is offered.
    #[error("it imports {}, which twinlet does not offer", .0.join(", "))]
    Imports(Vec<String>),
    /// It does not fit what the agent offers or calls.
    #[error("{0}")]
    Misfit(String),
}

/// What compiled code depends on.
pub fn tunables() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .memory_reservation_for_growth(1 << 20)
        .max_wasm_stack(GUEST_STACK)
        .wasm_memory64(false)
        .generate_address_map(false)
        .native_unwind_info(false)
        .concurrency_support(false);
    if cfg!(feature = "pulley") {
        let target = if cfg!(target_pointer_width = "64") { "pulley64" } else { "pulley32" };
        if let Err(error) = config.target(target) {
            log::error!("target {target}: {error:#}");
        }
    }
    config
}

/// A component with all its imports, and what of its exports is called.
pub struct Linked {
    /// Makes instances.
    pub pre: InstancePre<Guest>,
    /// What is called.
    pub exports: Exports,
}

/// The engine with its clock and linker.
pub struct Runtime {
    engine: Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
    pool: Pool,
}

/// Where instances get their memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pool {
    /// From address space that was reserved for all of them at the start.
    Reserved,
    /// Each its own, for guests may take more than a place in the pool has, or the machine is of 32 bits.
    TooLarge,
    /// Each its own, for the pool could not be reserved, with the reason.
    NoRoom(String),
}

impl Runtime {
    /// Sets up the engine for guests of at most so many pages of memory. Instances come from a pool of reserved
    /// address space where there is enough of it; else each gets its own.
    pub fn new(max_memory_pages: u32) -> Result<Self, EngineError> {
        let max_memory = u64::from(max_memory_pages) << 16;
        let pooled = (max_memory <= MEMORY_RESERVATION && cfg!(target_pointer_width = "64"))
            .then(|| Engine::new(tunables().allocation_strategy(pooling(max_memory))));
        let plain = || Engine::new(&tunables()).map_err(|e| EngineError::Setup(format!("{e:#}")));
        let (engine, pool) = match pooled {
            Some(Ok(engine)) => (engine, Pool::Reserved),
            Some(Err(error)) => {
                log::warn!("too little address space for a pool of instances ({error:#}); doing without");
                (plain()?, Pool::NoRoom(format!("{error:#}")))
            }
            None => (plain()?, Pool::TooLarge),
        };
        let linker = twinlet_host::link(&engine).map_err(|e| EngineError::Setup(format!("{e:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|e| EngineError::Setup(e.to_string()))?;
        Ok(Self { engine, linker, ticker, pool })
    }

    /// A digest of the settings that it compiles with, wasmtime's version and the target among them. A build that can
    /// not compile knows none.
    pub fn settings(&self) -> Option<[u8; 32]> {
        #[cfg(feature = "compiler")]
        return settings::digest(&self.engine);
        #[cfg(not(feature = "compiler"))]
        None
    }

    /// Where instances get their memory.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Maps compiled code.
    ///
    /// # Safety
    /// The file must be what this device's compiler wrote, unchanged: it is native code and runs as such.
    pub unsafe fn map(&self, compiled: &Path) -> Result<Component, EngineError> {
        // SAFETY: the caller vouches for the file.
        unsafe { Component::deserialize_file(&self.engine, compiled) }.map_err(|e| unusable(format!("{e:#}")))
    }

    /// Checks a component's imports and exports, and links it; from here an instance takes microseconds.
    pub fn link(&self, component: &Component, entrypoint: Entrypoint) -> Result<Linked, EngineError> {
        let refused = twinlet_host::link::refused_imports(&self.engine, component);
        if !refused.is_empty() {
            return Err(EngineError::Imports(refused));
        }
        let misfit = |e: wasmtime::Error| EngineError::Misfit(format!("{e:#}"));
        let pre = self.linker.instantiate_pre(component).map_err(misfit)?;
        let exports = Exports::of(&pre, entrypoint)?;
        Ok(Linked { pre, exports })
    }

    /// The engine, for stores.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Keeps the deadline clock ticking while guest code runs.
    pub fn running(&self) -> Running<'_> {
        self.ticker.running()
    }
}

/// Why compiled code was not mapped. wasmtime's errors have no kinds; what the system says has its number behind it.
fn unusable(why: String) -> EngineError {
    if why.contains("(os error ") { EngineError::Unmapped(why) } else { EngineError::Stale(why) }
}

/// The epoch deadline, in ticks from now, that stops a guest at `deadline` or a tick later.
pub fn ticks_until(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now());
    let ticks = left.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX >> 1).saturating_add(1)
}

fn pooling(max_memory: u64) -> InstanceAllocationStrategy {
    use twinlet_host::limits;
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_INSTANCES)
        .total_core_instances(MAX_INSTANCES * 4)
        .total_memories(MAX_INSTANCES)
        .total_tables(MAX_INSTANCES * 2)
        .total_stacks(0)
        .max_core_instances_per_component(small(limits::MAX_CORE_INSTANCES))
        .max_memories_per_component(small(limits::MAX_MEMORIES))
        .max_tables_per_component(small(limits::MAX_TABLES))
        .max_tables_per_module(small(limits::MAX_TABLES))
        .max_memories_per_module(small(limits::MAX_MEMORIES))
        .table_elements(limits::MAX_TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(max_memory).unwrap_or(usize::MAX))
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .decommit_batch_size(8);
    InstanceAllocationStrategy::Pooling(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_wasmtime_is_the_one_in_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        let locked = format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"");
        assert!(lock.contains(&locked), "WASMTIME_VERSION is not what Cargo.lock says");
    }

    #[test]
    fn what_the_system_refuses_is_told_from_what_is_no_compiled_form() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::new(256).unwrap();
        // SAFETY: neither of these is a file that holds code.
        let of = |path: &Path| unsafe { runtime.map(path) }.map(|_| ()).unwrap_err();
        let garbage = dir.path().join("garbage");
        std::fs::write(&garbage, [7; 10_000]).unwrap();
        assert!(matches!(of(&garbage), EngineError::Stale(_)));
        // As it is when there is no descriptor left.
        assert!(matches!(of(&dir.path().join("gone")), EngineError::Unmapped(_)));
        assert!(matches!(of(dir.path()), EngineError::Unmapped(_)));
    }

    #[test]
    fn a_deadline_is_never_cut_short_and_never_two_ticks_late() {
        let ticks = ticks_until(Instant::now() + TICK * 10);
        assert!((10..=12).contains(&ticks), "{ticks}");
        assert_eq!(ticks_until(Instant::now()), 1, "what is past stops at the next tick");
    }
}
