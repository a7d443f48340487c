//! Looks after the database and the disk, and says on `/metrics` how they are.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::doors::store_lost;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::thread::Thread;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until the runtime ends.
pub(super) async fn look_after(store: Arc<Store>, metrics: Arc<Metrics>) {
    let mut tending: Option<Thread> = None;
    loop {
        let health = store.health();
        let disk = &metrics.disk;
        disk.store_writable.store(health.writable.into(), Relaxed);
        disk.store_reopened.store(health.reopened, Relaxed);
        disk.store_damaged.store(health.damaged, Relaxed);
        if let Ok(free) = store.free_bytes() {
            disk.free_bytes.store(free, Relaxed);
        }
        let is_idle = tending.as_ref().is_none_or(Thread::is_finished);
        let is_untold = health.writable && store.untold_loss().is_some();
        if is_idle && (is_untold || store.wants_tending()) {
            let store = store.clone();
            // It waits for the disk, which this thread must not; nor must it wait for others of this runtime's threads,
            // which may all wait for the disk that is mended here.
            let tend = move || {
                store.tend();
                store_lost(&store);
            };
            match Thread::start("tending", tend) {
                Ok(thread) => tending = Some(thread),
                Err(error) => log::debug!("a thread to look after the database: {error}"),
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
