//! Guests for the tests of this crate: no component, and nobody behind their host functions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::http_client::Gate;
use crate::logging::GuestLog;
use crate::messaging::{CallRet, Sender};
use crate::rates::Rates;
use crate::{Environment, Guest, KeyValue, Messages, MetricSink, ReportSink, WorkerSlot};

struct Nobody;

impl Messages for Nobody {
    fn cast(&self, _: &Sender, _: &str, _: Vec<u8>) -> Result<(), crate::messaging::Error> {
        Ok(())
    }
    fn call(&self, _: &Sender, _: &str, _: &[u8], _: Instant) -> CallRet {
        CallRet::Noreply
    }
    fn delayed_cast(
        &self,
        _: &Sender,
        _: Duration,
        _: &str,
        _: Vec<u8>,
    ) -> Result<(), crate::messaging::Error> {
        Ok(())
    }
    fn sync(&self, _: &Sender, _: Vec<u8>) -> Result<(), crate::messaging::Error> {
        Ok(())
    }
}

impl MetricSink for Nobody {
    fn take(&self, _: &str, _: crate::metrics::Sample) -> Result<(), crate::metrics::Error> {
        Ok(())
    }
}

impl KeyValue for Nobody {
    fn get(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
    fn set(&self, _: &str, _: &str, _: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }
    fn keys(&self, _: &str, _: usize, _: usize) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

impl ReportSink for Nobody {
    fn report(&self, _: &str, _: &str, _: Value) -> Result<(), crate::twin::Error> {
        Ok(())
    }
}

/// Counts how often a worker began to wait, and how often it went on.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) left: AtomicUsize,
    pub(crate) entered: AtomicUsize,
}

impl WorkerSlot for Slot {
    fn leave(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self) {
        self.entered.fetch_add(1, Ordering::SeqCst);
    }
}

/// A guest that may run for so long from now, and its worker's place.
pub(crate) fn guest(http: Gate, left: Duration) -> (Guest, Arc<Slot>) {
    let (nobody, slot) = (Arc::new(Nobody), Arc::new(Slot::default()));
    let environment = Environment {
        node_id: "node".into(),
        function_id: "function".into(),
        config: Map::new(),
        config_text: "{}".into(),
        telemetry: None,
        outputs: BTreeMap::new(),
        messages: nobody.clone(),
        metrics: nobody.clone(),
        keyvalue: nobody.clone(),
        rates: Rates::default(),
        reports: nobody,
        http,
        max_memory_bytes: 16 << 20,
        slot: slot.clone(),
        log: GuestLog::new("function"),
    };
    (Guest::new(Arc::new(environment), Instant::now() + left), slot)
}

/// Enters a runtime that runs on a thread of its own, as guests' threads do.
pub(crate) fn enter_runtime() -> tokio::runtime::EnterGuard<'static> {
    static HANDLE: std::sync::LazyLock<tokio::runtime::Handle> = std::sync::LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    });
    HANDLE.enter()
}
