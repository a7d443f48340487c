//! The link between an agent and its broker, which can be cut and slowed down; knows nothing of what goes over it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::broker::Broker;

/// A port in front of a plain broker. Dropping it cuts what goes over it.
pub struct Link {
    port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    done: AtomicBool,
    /// Bytes a second from the agent to the broker; 0 for as fast as it goes.
    rate: AtomicU64,
    /// Connections that were asked for, refused ones included.
    attempts: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    /// A fast link to the broker's plain door.
    pub fn to(broker: &Broker) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), broker.hub_port());
        let state = Arc::new(State::default());
        let of_thread = state.clone();
        let accept = move || {
            for from in listener.incoming() {
                if of_thread.done.load(Ordering::SeqCst) {
                    return;
                }
                of_thread.attempts.fetch_add(1, Ordering::SeqCst);
                of_thread.connect(from.unwrap(), to);
            }
        };
        let thread = thread::Builder::new().name("link".to_owned()).spawn(accept).unwrap();
        Self { port, state, thread: Some(thread) }
    }

    /// What goes into `MQTT_BROKER`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// How many connections were asked for so far.
    pub fn attempts(&self) -> u64 {
        self.state.attempts.load(Ordering::SeqCst)
    }

    /// Cuts it: connections end, and new ones are refused at once.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            // The other end may have closed it already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Mends it, with so many bytes a second from the agent to the broker, or 0 for as fast as it goes.
    pub fn mend(&self, bytes_per_second: u64) {
        self.state.rate.store(bytes_per_second, Ordering::SeqCst);
        self.state.cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.done.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the thread, which waits for a connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl State {
    fn connect(self: &Arc<Self>, agent: TcpStream, to: u16) {
        let mut open = self.open.lock().unwrap();
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(broker) = TcpStream::connect(("127.0.0.1", to)) else { return };
        for (from, to, slowed) in [(&agent, &broker, true), (&broker, &agent, false)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let state = self.clone();
            thread::spawn(move || state.carry(from, to, slowed));
        }
        open.extend([agent, broker]);
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, slowed: bool) {
        let mut bytes = [0; 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            let rate = self.rate.load(Ordering::SeqCst);
            if slowed && rate > 0 {
                // This is what makes it slow.
                thread::sleep(Duration::from_secs(1).mul_f64(n as f64 / rate as f64));
            }
            if to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
