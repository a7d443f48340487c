//! What a component gets that takes the compiler over: nothing. A process goes to the compiler's jail and tries, on this
//! kernel and on kernels that offer less.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const JAILED: &str = env!("CARGO_BIN_EXE_jailed");
const KERNELS: [&str; 4] = ["whole", "no-seccomp", "no-landlock", "neither"];

/// What it tries, and what refuses it: the limits alone (`-`), seccomp (`s`), Landlock (`l`), or either of these.
/// A thread or a process needs seccomp here, since the limit on them does not hold root.
const ATTEMPTS: &[(&str, &str)] = &[
    ("read a file", "-"),
    ("make a file", "-"),
    ("list a directory", "-"),
    ("connect", "-"),
    ("listen", "-"),
    ("send a datagram", "-"),
    ("connect locally", "-"),
    ("take memory", "-"),
    ("write much", "-"),
    ("take time", "-"),
    ("remove a file", "sl"),
    ("rename a file", "sl"),
    ("become another", "sl"),
    ("make a thread", "s"),
    ("make a process", "s"),
    ("map machine code", "s"),
    ("make machine code", "s"),
    ("send a signal", "s"),
    ("signal a thread", "s"),
    ("trace", "s"),
    ("use io_uring", "s"),
    ("be dumped", "s"),
];

/// What is there to be reached.
struct Outside {
    dir: TempDir,
    tcp: TcpListener,
    _unix: UnixListener,
}

impl Outside {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
        Self { tcp: TcpListener::bind("127.0.0.1:0").unwrap(), dir, _unix: unix }
    }

    /// Lets a process try it; returns what it said at the end, or how it was ended.
    fn attempt(&self, kernel: &str, attempt: &str) -> String {
        let file = self.dir.path().join("file");
        std::fs::write(&file, "contents").unwrap();
        let argument = match attempt {
            "connect" => self.tcp.local_addr().unwrap().to_string(),
            "connect locally" => self.dir.path().join("socket").display().to_string(),
            "make a file" => self.dir.path().join(format!("made-{kernel}")).display().to_string(),
            _ => file.display().to_string(),
        };
        let Output { status, stdout, .. } =
            Command::new(JAILED).args([kernel, attempt, &argument]).output().unwrap();
        let said = String::from_utf8(stdout).unwrap();
        match said.lines().last() {
            Some(last) if status.success() => last.to_owned(),
            _ => status.to_string(),
        }
    }
}

#[test]
fn nothing_is_reached_from_the_jail() {
    let outside = Outside::new();
    for (attempt, by) in ATTEMPTS {
        for kernel in KERNELS {
            let said = outside.attempt(kernel, attempt);
            let refused = said.starts_with("refused") || said.starts_with("signal");
            let missing = match kernel {
                "no-seccomp" => *by == "s",
                "no-landlock" => *by == "l",
                "neither" => *by != "-",
                _ => false,
            };
            // What a lesser kernel does not refuse is no part of the promise, and not of this test.
            assert!(refused || missing, "{attempt}, {kernel}: {said}");
        }
    }
    let signal = |attempt| outside.attempt("whole", attempt);
    assert!(signal("take time").contains("(SIGXCPU)"), "{}", signal("take time"));
    assert!(signal("write much").contains("(SIGXFSZ)"), "{}", signal("write much"));
}

#[test]
fn outside_of_it_all_of_this_works() {
    let outside = Outside::new();
    for (attempt, _) in ATTEMPTS.iter().filter(|(attempt, _)| *attempt != "take time") {
        let said = outside.attempt("free", attempt);
        // It says nothing where it became another, which ended well.
        assert!(said == "done" || said == "exit status: 0", "{attempt}: {said}");
    }
}

#[test]
fn what_a_compiler_needs_works_in_it() {
    let outside = Outside::new();
    for kernel in KERNELS {
        assert_eq!(outside.attempt(kernel, "compute and write"), "done", "{kernel}");
    }
}

#[test]
fn a_kernel_that_offers_less_compiles_and_check_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let jail = |kernel: &str| {
        let check = ["exec", env!("CARGO_BIN_EXE_twinlet-agent"), "check", "--no-network", "--json"];
        let said = Command::new(JAILED)
            .arg(kernel)
            .args(check)
            .env("CACHE_DIR", dir.path())
            .env("LOCAL_SOCKET", &socket)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&said.stdout).unwrap();
        let found = report["findings"].as_array().unwrap();
        let of = |check: &str| found.iter().find(|f| f["check"] == check).unwrap_or(&Value::Null);
        assert_eq!(of("compiler")["result"], "ok", "{kernel}: {report:#}");
        let jail = of("compile jail");
        (jail["result"].as_str().unwrap().to_owned(), jail["text"].as_str().unwrap().to_owned())
    };
    let (result, text) = jail("whole");
    assert!(text.contains("seccomp"), "{result}: {text}");
    for (kernel, says) in
        [("no-seccomp", "no seccomp"), ("no-landlock", "no Landlock"), ("neither", "no Landlock, no seccomp")]
    {
        let (result, text) = jail(kernel);
        assert_eq!(result, "warning", "{kernel}");
        assert!(text.contains(says), "{kernel}: {text}");
    }
}
