//! A process that goes to the compiler's jail, and there tries what its arguments say: what would a component do that has
//! taken the compiler over? It is no part of what is shipped.
//!
//! `jailed KERNEL ATTEMPT [ARGUMENT]`. `KERNEL` says which of its calls the kernel is to be without: `whole`,
//! `no-seccomp`, `no-landlock`, `neither`; or `free` to stay outside of the jail. It says `done` or what the system said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a part of tests")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::Command;

use libc::{c_long, c_uint, sock_filter};
use twinlet::compile::jail::{self, Limits};

/// A third of it is left for what was there before the jail.
const MEMORY_BYTES: u64 = 768 << 20;
const OUTPUT_BYTES: u64 = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kernel, attempt) = (arguments[0].as_str(), arguments[1].as_str());
    let argument = arguments.get(2).map_or("", String::as_str);
    let missing: &[c_long] = match kernel {
        "no-seccomp" => &[libc::SYS_seccomp],
        "no-landlock" => &[libc::SYS_landlock_create_ruleset],
        "neither" => &[libc::SYS_seccomp, libc::SYS_landlock_create_ruleset],
        _ => &[],
    };
    if !missing.is_empty() {
        be_without(missing);
    }
    if attempt == "exec" {
        let rest = &arguments[3..];
        panic!("{}", Command::new(argument).args(rest).exec());
    }
    // In the jail nothing can be opened, and nobody is told whose child it is.
    let parent = libc::pid_t::try_from(parent_id()).unwrap();
    let mut output = tempfile::tempfile().unwrap();
    if kernel != "free" {
        let limits = Limits { memory_bytes: MEMORY_BYTES, seconds: 1, output_bytes: OUTPUT_BYTES };
        println!("{}", jail::enter(&limits, parent_id()).unwrap());
    }
    match try_to(attempt, argument, parent, &mut output) {
        Ok(()) => println!("done"),
        Err(error) => println!("refused: {error}"),
    }
}

fn try_to(attempt: &str, argument: &str, parent: libc::pid_t, output: &mut File) -> io::Result<()> {
    match attempt {
        "read a file" => fs::read(argument).map(drop),
        "make a file" => File::create_new(argument).map(drop),
        "list a directory" => fs::read_dir("/").map(drop),
        "remove a file" => fs::remove_file(argument),
        "rename a file" => fs::rename(argument, format!("{argument}-renamed")),
        "connect" => TcpStream::connect(argument).map(drop),
        "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
        "send a datagram" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "connect locally" => UnixStream::connect(argument).map(drop),
        "make a thread" => std::thread::Builder::new().spawn(|| ()).map(drop),
        // SAFETY: the child ends at once.
        "make a process" => number(match unsafe { libc::fork() } {
            // SAFETY: it ends the child.
            0 => unsafe { libc::_exit(0) },
            pid => pid.into(),
        }),
        "become another" => Err(Command::new("/bin/true").exec()),
        // SAFETY: memory of its own, which nobody knows of.
        "map machine code" => number(unsafe { map(libc::PROT_READ | libc::PROT_EXEC) } as c_long),
        "make machine code" => {
            // SAFETY: memory of its own, which nobody knows of.
            let page = unsafe { map(libc::PROT_READ | libc::PROT_WRITE) };
            // SAFETY: it is the page that was mapped.
            number(unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC) }.into())
        }
        // SAFETY: signal 0 only asks whether one could be sent.
        "send a signal" => number(unsafe { libc::kill(parent, 0) }.into()),
        // SAFETY: as above.
        "signal a thread" => number(unsafe { libc::syscall(libc::SYS_tgkill, parent, parent, 0) }),
        // SAFETY: it takes numbers.
        "trace" => number(unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0) }),
        // SAFETY: it is asked with a size that can not be, and fails in any case: the question is how.
        "use io_uring" => match unsafe { libc::syscall(libc::SYS_io_uring_setup, 0, 0) } {
            _ if io::Error::last_os_error().raw_os_error() == Some(libc::EPERM) => number(-1),
            _ => Ok(()),
        },
        // SAFETY: it takes numbers.
        "be dumped" => number(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }.into()),
        "take files" => {
            let limit = libc::rlimit { rlim_cur: 8, rlim_max: 8 };
            // SAFETY: the limit is read, and lives through the call.
            number(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }.into())
        }
        "take memory" => Vec::<u8>::new().try_reserve_exact(1 << 30).map_err(io::Error::other),
        "take time" => {
            let began = std::time::Instant::now();
            while began.elapsed().as_secs() < 30 {
                black_box(0);
            }
            Ok(())
        }
        "write much" => output.write_all(&vec![7; 2 << 20]),
        "compute and write" => {
            let sorted: std::collections::BTreeMap<u32, u32> =
                (0..10_000).map(|n| (n * 7 % 10_007, n)).collect();
            output.write_all(&sorted.values().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>())
        }
        other => panic!("what is `{other}`?"),
    }
}

fn number(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// None is needed: the page is anonymous.
unsafe fn map(protection: libc::c_int) -> *mut libc::c_void {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous page, wherever there is room.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) }
}

/// Has these calls fail with ENOSYS from now on, in this process and what it becomes: a kernel that is without them.
fn be_without(calls: &[c_long]) {
    let instruction =
        |code: c_uint, k: u32, jf: u8| sock_filter { code: code.try_into().unwrap(), jt: 0, jf, k };
    let mut filter = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for call in calls {
        filter.push(instruction(libc::BPF_JMP | libc::BPF_JEQ, u32::try_from(*call).unwrap(), 1));
        filter.push(instruction(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(), 0));
    }
    filter.push(instruction(libc::BPF_RET, libc::SECCOMP_RET_ALLOW, 0));
    let program = libc::sock_fprog { len: filter.len().try_into().unwrap(), filter: filter.as_mut_ptr() };
    // SAFETY: the first takes numbers; the second reads the filter, which lives through it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
