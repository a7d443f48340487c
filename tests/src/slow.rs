//! A server that others wait for; knows nothing of who asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::wait::Journal;

/// How long the server takes.
pub const SLOWNESS: Duration = Duration::from_secs(5);

/// A server on loopback that answers every request after [`SLOWNESS`]; its port, and an entry for each request.
pub fn slow_server() -> (u16, Journal<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, asked) = (listener.local_addr().unwrap().port(), Journal::default());
    let requests = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let requests = requests.clone();
            std::thread::spawn(move || answer_slowly(stream, &requests));
        }
    });
    (port, asked)
}

fn answer_slowly(mut stream: TcpStream, requests: &Journal<()>) {
    let mut head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    if head.any(|line| line.is_empty()) {
        requests.push(());
        // Not a wait for anything: this is what is slow about the server.
        std::thread::sleep(SLOWNESS);
        // A client that has given up is what one of the tests is about.
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").ok();
    }
}
