//! Looks after the database and the disk, and says on `/metrics` how they are.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::metrics::Metrics;
use crate::store::Store;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the runtime ends.
pub(super) async fn look_after(store: Arc<Store>, metrics: Arc<Metrics>) {
    let mut tending: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        let health = store.health();
        let disk = &metrics.disk;
        disk.store_writable.store(health.writable.into(), Relaxed);
        disk.store_reopened.store(health.reopened, Relaxed);
        disk.store_damaged.store(health.damaged, Relaxed);
        if let Ok(free) = store.free_bytes() {
            disk.free_bytes.store(free, Relaxed);
        }
        let is_idle = tending.as_ref().is_none_or(tokio::task::JoinHandle::is_finished);
        if is_idle && store.wants_tending() {
            let store = store.clone();
            // It waits for the disk, which this thread must not.
            tending = Some(tokio::task::spawn_blocking(move || store.tend()));
        }
        tokio::time::sleep(EVERY).await;
    }
}
