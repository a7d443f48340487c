//! A digest is fetched once at a time, whoever needs it; and no longer than somebody does.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use twinlet_tests::{Artifact, ArtifactServer, Fault, eventually};

use super::{Device, bytes};

/// Waits until so many bytes are on the disk.
fn came(device: &Device, artifact: &Artifact, bytes: u64) {
    let there = || fs::metadata(device.partial(artifact)).ok().filter(|m| m.len() >= bytes);
    eventually("the beginning of a download", there);
}

/// Begins a download, and gives it up once its beginning is there.
fn given_up(device: &Device, artifact: &Artifact, bytes: u64) {
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let fetch = scope.spawn(|| device.try_fetch(artifact, &|| enough.load(SeqCst)));
        came(device, artifact, bytes);
        enough.store(true, SeqCst);
        assert!(fetch.join().unwrap().unwrap_err().contains("newer desired state"));
    });
}

#[test]
fn all_who_need_a_digest_wait_for_one_download() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve_with("f", bytes.clone(), Fault::Drip(5_000));
    // The same bytes from elsewhere.
    let other = server.serve_with("g", bytes.clone(), Fault::NotFound);
    let device = Device::new();
    thread::scope(|scope| {
        let first = scope.spawn(|| device.fetch(&file));
        came(&device, &file, 1);
        let others: Vec<_> = [&file, &other, &file]
            .map(|artifact| scope.spawn(|| device.fetch(artifact)))
            .into_iter()
            .collect();
        assert_eq!(first.join().unwrap(), Ok(()));
        assert!(others.into_iter().all(|fetch| fetch.join().unwrap() == Ok(())));
    });
    assert_eq!((server.requests("f"), server.requests("g")), (1, 0));
    assert!(fs::read(device.target(&file)).unwrap() == bytes);
}

#[test]
fn a_download_that_was_given_up_is_joined_by_who_needs_the_same() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve_with("f", bytes.clone(), Fault::Drip(5_000));
    let device = Device::new();
    given_up(&device, &file, 5_000);
    device.gets(&file, &bytes);
    assert_eq!(server.requests("f"), 1);
}

#[test]
fn a_download_that_stands_still_is_taken_over_from_another_url_at_once() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let dead = server.serve_with("f", bytes.clone(), Fault::StallAfter(5_000));
    let device = Device::with(&[("fetch_stall_timeout_secs", "3600"), ("fetch_min_rate_secs", "3600")]);
    given_up(&device, &dead, 5_000);
    let good = server.serve("g", bytes.clone());
    device.gets(&good, &bytes);
    let asked = server.asked("g");
    assert_eq!((asked.len(), asked[0].header("range"), asked[0].header("if-range")), (1, "bytes=5000-", ""));
}

#[test]
fn a_download_that_nobody_needs_ends_and_is_gone_on_with_later() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    // It would take a quarter of an hour.
    let file = server.serve_in_turn("f", bytes.clone(), &[Fault::Drip(5), Fault::None]);
    let device = Device::with(&[("fetch_min_rate_bytes", "0")]);
    given_up(&device, &file, 5);
    // A request is noted when its connection has ended.
    server.requested("f", 1);
    device.gets(&file, &bytes);
    assert!(server.asked("f")[1].header("range").starts_with("bytes="));
}

#[test]
fn no_more_than_a_few_threads_wait_for_servers_that_stand_still() {
    let server = ArtifactServer::start();
    let device = Device::with(&[("fetch_stall_timeout_secs", "2")]);
    let files: Vec<_> = (0..12u8)
        .map(|n| server.serve_with(&format!("f{n}"), vec![n; 1_000], Fault::StallAfter(10)))
        .collect();
    thread::scope(|scope| {
        let fetches: Vec<_> = files.iter().map(|file| scope.spawn(|| device.fetch(file))).collect();
        let begun = || files.iter().filter(|file| device.partial(file).exists()).count();
        eventually("the first downloads", || (begun() == 4).then_some(()));
        thread::sleep(Duration::from_millis(300)); // what must not happen has no condition
        assert!(begun() <= 4, "{} at one time", begun());
        assert!(fetches.into_iter().all(|fetch| fetch.join().unwrap().is_err()));
    });
    let asked = (0..12).map(|n| server.requests(&format!("f{n}"))).sum::<usize>();
    assert_eq!(asked, 12, "each had its try");
}
