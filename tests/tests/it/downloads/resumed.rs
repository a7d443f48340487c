//! A download that was cut goes on where it was, if it still can; else it begins anew, and never gives wrong bytes.

use std::fs;
use std::sync::Arc;

use twinlet::fetch::Room;
use twinlet_tests::{ArtifactServer, Fault, guests};

use super::{Device, bytes};

/// The ranges that were asked for, in order.
fn ranges(server: &ArtifactServer) -> Vec<String> {
    server.asked("f").iter().map(|asked| asked.header("range").to_owned()).collect()
}

#[test]
fn a_download_cut_at_any_offset_goes_on_there() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let even = (0..16).map(|n| n * bytes.len() / 16);
    for offset in even.chain([1, 32 << 10, (32 << 10) + 1, bytes.len() - 1]) {
        let name = format!("f{offset}");
        let file = server.serve_in_turn(&name, bytes.clone(), &[Fault::CutShort(offset), Fault::None]);
        let device = Device::new();
        device.fails(&file, &format!("after {offset} bytes"));
        let device = device.restarted();
        device.gets(&file, &bytes);
        let asked = server.asked(&name);
        let expected = if offset == 0 { String::new() } else { format!("bytes={offset}-") };
        assert_eq!((asked.len(), asked[1].header("range")), (2, expected.as_str()));
        assert_eq!(asked[1].header("if-range").starts_with('"'), offset > 0);
        assert!(asked.iter().all(|asked| asked.header("accept-encoding") == "identity"));
    }
}

#[test]
fn a_download_cut_again_and_again_gets_there_with_every_byte_sent_once() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let mut faults = vec![Fault::CutShort(7_001); 14];
    faults.push(Fault::None);
    let file = server.serve_in_turn("f", bytes.clone(), &faults);
    let mut device = Device::new();
    for _ in 0..14 {
        device.fails(&file, " bytes: ");
        device = device.restarted();
    }
    device.gets(&file, &bytes);
    let expected: Vec<String> = (1..15).map(|n| format!("bytes={}-", n * 7_001)).collect();
    assert_eq!(ranges(&server)[1..], expected);
}

#[test]
fn a_sign_in_page_in_the_way_costs_nothing_that_came() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve_with("f", bytes.clone(), Fault::CutShort(50_000));
    let device = Device::new();
    device.fails(&file, "after 50000 bytes");
    server.serve("f", "<html>Please sign in</html>");
    let device = device.restarted();
    device.fails(&file, "27 bytes came, where `size` says 100000");
    assert_eq!(fs::metadata(device.partial(&file)).unwrap().len(), 50_000);
    server.serve("f", bytes.clone());
    device.restarted().gets(&file, &bytes);
    assert_eq!(ranges(&server).last().unwrap(), "bytes=50000-");
}

#[test]
fn a_download_without_room_ends_and_goes_on_when_there_is_some() {
    let (server, bytes) = (ArtifactServer::start(), guests::noise(3 << 20));
    let device = |most: u64| {
        let ask = move |bytes| if bytes <= most { Ok(()) } else { Err(format!("no room for {bytes}")) };
        Device { room: Room { ask: Arc::new(ask), modest: false }, ..Device::new() }
    };
    // The size is known before anything is written.
    let file = server.serve("f", bytes.clone());
    let small = device(2 << 20);
    small.fails(&file, &format!("no room for {}", bytes.len()));
    assert_eq!(fs::read_dir(small.dir.path()).unwrap().count(), 0);
    // And where it is not, what comes stays within the room.
    let mut endless = server.serve_with("g", guests::noise(32 << 10), Fault::Endless);
    endless.size = 0;
    small.fails(&endless, "no room for ");
    let came = fs::metadata(small.partial(&endless)).unwrap().len();
    assert!((1_000_000..=2 << 20).contains(&came), "{came} bytes are kept");
    fs::remove_file(small.partial(&endless)).unwrap();
    device(3 << 20).gets(&file, &bytes);
}

#[test]
fn a_file_that_changed_is_fetched_from_its_beginning() {
    let (old, new) = (vec![1; 50_000], bytes());
    // What the first answer says of the file, what the second does, and how many requests it takes.
    for (first, second, requests) in [
        (Fault::CutShort(5_000), Fault::None, 2),
        (Fault::CutShort(5_000), Fault::Unconditional, 3),
        // Without a validator only the digest tells.
        (Fault::CutAfter(5_000), Fault::None, 3),
        (Fault::CutShort(5_000), Fault::Unsatisfiable, 2),
    ] {
        let server = ArtifactServer::start();
        server.serve_with("f", old.clone(), first);
        let mut file = server.serve_with("g", new.clone(), Fault::None);
        file.url = format!("{}/f", server.base());
        file.size = 0;
        let device = Device::new();
        device.fails(&file, "after 5000 bytes");
        server.serve_with("f", new.clone(), second);
        device.restarted().gets(&file, &new);
        assert_eq!(server.requests("f"), requests, "{first:?}, {second:?}");
    }
}

#[test]
fn a_server_that_can_not_go_on_is_asked_for_the_whole() {
    for (fault, requests) in [(Fault::Unsatisfiable, 3), (Fault::WrongRange, 3), (Fault::Plain, 2)] {
        let (server, bytes) = (ArtifactServer::start(), bytes());
        let file = server.serve_in_turn("f", bytes.clone(), &[Fault::CutShort(5_000), fault]);
        let device = Device::new();
        device.fails(&file, "after 5000 bytes");
        device.gets(&file, &bytes);
        let ranges = ranges(&server);
        assert_eq!((ranges.len(), ranges[1].as_str()), (requests, "bytes=5000-"), "{fault:?}");
    }
}

#[test]
fn a_damaged_beginning_is_seen_and_fetched_again() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve_in_turn("f", bytes.clone(), &[Fault::CutShort(60_000), Fault::None]);
    let device = Device::new();
    device.fails(&file, "after 60000 bytes");
    let mut damaged = fs::read(device.partial(&file)).unwrap();
    damaged[30_000] ^= 1;
    fs::write(device.partial(&file), damaged).unwrap();
    device.restarted().gets(&file, &bytes);
    assert_eq!(ranges(&server), ["", "bytes=60000-", ""]);
}

#[test]
fn a_whole_that_only_lacked_its_name_needs_no_network() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve("f", bytes.clone());
    let device = Device::new();
    fs::write(device.partial(&file), &bytes).unwrap();
    device.gets(&file, &bytes);
    assert_eq!(server.requests("f"), 0);
}

#[test]
fn bytes_beyond_the_end_are_no_beginning() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve("f", bytes.clone());
    for size in [file.size, 0] {
        let device = Device::new();
        fs::write(device.partial(&file), [bytes.as_slice(), b"more"].concat()).unwrap();
        let file = twinlet_tests::Artifact { size, ..file.clone() };
        device.gets(&file, &bytes);
    }
}

#[test]
fn a_slow_drip_is_cut_and_goes_on_later() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve_in_turn("f", bytes.clone(), &[Fault::Drip(100), Fault::None]);
    let device = Device::with(&[("fetch_min_rate_bytes", "20000"), ("fetch_min_rate_secs", "1")]);
    device.fails(&file, "fewer than 20000 bytes came in 1 s");
    let there = fs::metadata(device.partial(&file)).unwrap().len();
    assert!((100..20_000).contains(&there), "{there}");
    device.gets(&file, &bytes);
    server.requested("f", 2);
    let with_range = server.asked("f").iter().any(|it| it.header("range") == format!("bytes={there}-"));
    assert!(with_range, "{:?}", ranges(&server));
}

#[test]
fn what_comes_compressed_is_refused() {
    let server = ArtifactServer::start();
    let file = server.serve_with("f", bytes(), Fault::Gzip);
    Device::new().fails(&file, "Content-Encoding: gzip");
}

#[test]
fn wrong_bytes_and_wrong_sizes_leave_nothing_behind() {
    let server = ArtifactServer::start();
    let file = server.serve("f", bytes());
    let device = Device::with(&[("artifact_max_bytes", "90000")]);
    let left = || fs::read_dir(device.dir.path()).unwrap().count();
    device.fails(&file, "larger than 90000 bytes");
    let small = server.serve("g", &bytes()[..50_000]);
    device.fails(
        &twinlet_tests::Artifact { size: 49_999, ..small.clone() },
        "50000 bytes came, where `size` says 49999",
    );
    device.fails(&twinlet_tests::Artifact { sha256: "ab".repeat(32), ..small }, "sha256");
    assert_eq!(left(), 0);
}
