//! Damage of every file of the state directory, one at a time: the agent starts, has its name, and serves the desired
//! state that it accepted last, without a hub. And what the formats of that directory mean.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use twinlet_tests::wait::eventually;
use twinlet_tests::{Agent, ArtifactServer, Broker, DEADLINE, Desired, Function, Hub, guests};

use crate::agent;

/// What befalls a file, and a word that the agent's log then has; none where it has nothing to say.
type Damage = (&'static str, fn(&Path), Option<&'static str>);

/// An agent without a broker that serves `/fn` and has kept a value under `/keep`, on the way from one damage to the
/// next.
struct Node {
    agent: Agent,
    name: String,
    _artifacts: ArtifactServer,
}

impl Node {
    fn new() -> Self {
        let (broker, artifacts) = (Broker::plain(), ArtifactServer::start());
        let agent = agent().unset("NODE_ID").env("CP_URL", artifacts.base()).with(&broker).start();
        let name = fs::read_to_string(agent.state_dir().join("node_id")).unwrap();
        let hub = Hub::at(&broker, &name);
        let function =
            |id: &str, bytes: Vec<u8>| Function::of(id, &artifacts.serve(&format!("{id}.wasm"), bytes));
        let desired = Desired::version(1).serving(function("fn", guests::answers("served")));
        hub.publish_desired(desired.serving(function("keep", guests::keeps())));
        hub.applied(1);
        assert_eq!(agent.post("/keep", "value").text(), "value");
        Self { agent, name, _artifacts: artifacts }
    }

    fn state(&self) -> PathBuf {
        self.agent.state_dir().to_owned()
    }

    /// Ends the agent, in good order or not, does the damage, and starts it again.
    fn suffer(&mut self, (what, damage, says): Damage, in_good_order: bool) {
        if in_good_order {
            self.agent.sigterm();
            assert_eq!(self.agent.wait_exit(DEADLINE), 0, "before {what}");
        } else {
            self.agent.kill9();
        }
        damage(&self.state());
        eprintln!("{what}, {}", if in_good_order { "after a stop" } else { "after a kill" });
        self.agent = self.agent.again(|builder| builder.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
        self.agent.says("/fn", "served");
        assert_eq!(fs::read_to_string(self.state().join("node_id")).unwrap(), self.name, "{what}");
        let log = self.agent.log_since(0).join("\n");
        assert!(log.contains(&self.name), "{what}: the agent has another name");
        if what.starts_with("db/") && in_good_order {
            assert!(log.contains("the database was changed while no agent ran"), "{what}: silent\n{log}");
        }
        if let Some(says) = says {
            assert!(log.contains(says), "{what}: `{says}` is not in\n{log}");
        }
        // What was kept is there or gone, and is never something else.
        let kept = eventually("the other function", || {
            Some(self.agent.get("/keep")).filter(|answer| answer.text() == "value" || answer.status == 404)
        });
        if kept.text() != "value" && !what.contains("db") {
            panic!("{what}: a value is lost");
        }
        if kept.status == 404 && self.agent.get("/keep").status == 404 {
            self.agent.post("/keep", "value");
        }
    }
}

/// Changes a bit of every byte in a part of a file, the part given in hundredths.
fn spoil(path: &Path, from: usize, to: usize) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    for byte in &mut bytes[length * from / 100..(length * to / 100).min(length)] {
        *byte ^= 0x10;
    }
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn to_directory(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
    fs::create_dir_all(path.join("below")).unwrap();
}

fn to_file(path: &Path) {
    fs::remove_dir_all(path).unwrap();
    fs::write(path, b"a file").unwrap();
}

/// Every artifact with this ending.
fn each(state: &Path, ending: &str, damage: impl Fn(&Path)) {
    let files = fs::read_dir(state.join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    assert!(!files.is_empty(), "there is no .{ending}");
    files.iter().for_each(|path| damage(path));
}

const SMALL_FILES: &[Damage] = &[
    ("node_id: a digit", |s| spoil(&s.join("node_id"), 0, 4), Some("node_id is damaged")),
    ("node_id: cut", |s| cut(&s.join("node_id")), Some("node_id is damaged")),
    ("node_id: gone", |s| fs::remove_file(s.join("node_id")).unwrap(), Some("node_id is damaged")),
    ("node_id: a directory", |s| to_directory(&s.join("node_id")), Some("node_id.damaged")),
    ("node_id.check: a digit", |s| spoil(&s.join("node_id.check"), 0, 4), None),
    ("node_id.check: a directory", |s| to_directory(&s.join("node_id.check")), Some("node_id.check.damaged")),
    ("device.key: a byte", |s| spoil(&s.join("device.key"), 50, 60), Some("device.key is damaged")),
    ("device.key: empty", |s| fs::write(s.join("device.key"), b"").unwrap(), Some("device.key is damaged")),
    ("device.key: a directory", |s| to_directory(&s.join("device.key")), Some("device.key.damaged")),
    ("format: a byte", |s| spoil(&s.join("format"), 0, 10), Some("format is damaged")),
    ("format: gone", |s| fs::remove_file(s.join("format")).unwrap(), Some("has format 1 now")),
    ("format: a directory", |s| to_directory(&s.join("format")), Some("format.damaged")),
    ("lock: a directory", |s| to_directory(&s.join("lock")), Some("lock.damaged")),
    ("lock: gone", |s| fs::remove_file(s.join("lock")).unwrap(), None),
    ("desired.copy: a byte", |s| spoil(&s.join("desired.copy"), 50, 51), Some("desired.copy is damaged")),
    ("desired.copy: a directory", |s| to_directory(&s.join("desired.copy")), Some("desired.copy.damaged")),
    ("db.clean: noise", |s| fs::write(s.join("db.clean"), guests::noise(100)).unwrap(), None),
    ("db.clean: a directory", |s| to_directory(&s.join("db.clean")), None),
    (
        "db.witness: noise",
        |s| fs::write(s.join("db.witness"), guests::noise(100)).unwrap(),
        Some("is damaged"),
    ),
    ("db.witness: gone", |s| fs::remove_file(s.join("db.witness")).unwrap(), None),
    ("db.witness: a directory", |s| to_directory(&s.join("db.witness")), Some("db.witness.damaged")),
    ("db.starts: noise", |s| fs::write(s.join("db.starts"), guests::noise(100)).unwrap(), None),
    ("db.starts: a directory", |s| to_directory(&s.join("db.starts")), None),
    ("twinlet.sock: a directory", |s| to_directory(&s.join("local.sock")), None),
    ("all: unreadable", unreadable, Some("its mode was 0")),
    ("foreign files", foreign, None),
];

const ARTIFACTS: &[Damage] = &[
    ("*.wasm: a byte", |s| each(s, "wasm", |path| spoil(path, 50, 51)), None),
    ("*.wasm and *.cwasm: bytes", both, Some("is damaged")),
    ("*.cwasm: a byte", |s| each(s, "cwasm", |path| spoil(path, 50, 51)), Some("has changed")),
    ("*.cwasm: cut", |s| each(s, "cwasm", cut), Some("has changed")),
    ("*.wasm: directories", |s| each(s, "wasm", to_directory), Some(".wasm.damaged")),
    ("*.cwasm: directories", |s| each(s, "cwasm", to_directory), Some(".cwasm.damaged")),
    ("artifacts: gone", |s| fs::remove_dir_all(s.join("artifacts")).unwrap(), None),
    ("artifacts: a file", |s| to_file(&s.join("artifacts")), Some("artifacts.damaged")),
];

const DATABASE: &[Damage] = &[
    ("db/db: its begin", |s| spoil(&s.join("db/db"), 0, 1), None),
    ("db/db: its middle", |s| spoil(&s.join("db/db"), 30, 60), None),
    ("db/db: all of it", |s| spoil(&s.join("db/db"), 0, 100), Some("is taken from desired.copy")),
    ("db/db: cut", |s| cut(&s.join("db/db")), None),
    ("db/db: empty", |s| fs::write(s.join("db/db"), b"").unwrap(), Some("is taken from desired.copy")),
    ("db/db: gone", |s| fs::remove_file(s.join("db/db")).unwrap(), Some("is taken from desired.copy")),
    ("db/db: noise", |s| fs::write(s.join("db/db"), guests::noise(1 << 20)).unwrap(), None),
    ("db/db: a directory", |s| to_directory(&s.join("db/db")), Some("is no file")),
    ("db/conf: noise", |s| fs::write(s.join("db/conf"), guests::noise(100)).unwrap(), None),
    ("db/conf: a directory", |s| to_directory(&s.join("db/conf")), Some("is no file")),
    ("db: a file", |s| to_file(&s.join("db")), Some("db.damaged")),
    ("db: gone", |s| fs::remove_dir_all(s.join("db")).unwrap(), Some("is taken from desired.copy")),
];

/// Other bytes than the damage before, which would mend them.
fn both(state: &Path) {
    ["wasm", "cwasm"].iter().for_each(|ending| each(state, ending, |path| spoil(path, 60, 70)));
}

/// Takes all rights away, which only counts for those who are not root.
fn unreadable(state: &Path) {
    let known =
        ["node_id", "node_id.check", "device.key", "format", "lock", "desired.copy", "db/db", "db/conf"];
    for name in known {
        fs::set_permissions(state.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    each(state, "wasm", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap());
}

fn foreign(state: &Path) {
    for name in ["README", "artifacts/README", "artifacts/x.part", "db.new", "node_id.part"] {
        fs::write(state.join(name), guests::noise(1000)).unwrap();
    }
    fs::create_dir_all(state.join("artifacts/lost+found/below")).unwrap();
    let unknown = format!("artifacts/{}.wasm.partial", "ab".repeat(32));
    fs::create_dir_all(state.join(unknown)).unwrap();
    std::os::unix::fs::symlink("/nowhere", state.join("artifacts").join("cd".repeat(32) + ".wasm")).unwrap();
}

fn all_of(damages: &[Damage]) {
    let mut node = Node::new();
    for (index, damage) in damages.iter().enumerate() {
        node.suffer(*damage, index % 2 == 0);
    }
    for (index, damage) in damages.iter().enumerate() {
        node.suffer(*damage, index % 2 == 1);
    }
    // And then it is as if nothing had happened.
    node.suffer(("nothing", |_| {}, None), true);
    let log = node.agent.log_since(0).join("\n");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn damage_of_a_small_file_is_mended() {
    all_of(SMALL_FILES);
}

#[test]
fn damage_of_artifacts_is_mended() {
    all_of(ARTIFACTS);
}

#[test]
fn damage_of_the_database_leaves_the_desired_state() {
    all_of(DATABASE);
}

#[test]
fn kills_during_the_start_do_not_cost_the_database() {
    let mut node = Node::new();
    node.agent.kill9();
    // As four of them leave it that end in the same boot before the agent is ready.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(node.state().join("db.starts"), format!("4 {}", boot.trim())).unwrap();
    node.agent = node.agent.again(|builder| builder.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    node.agent.says("/fn", "served");
    node.agent.says("/keep", "value");
}

#[test]
fn a_directory_of_before_formats_is_brought_up_with_all_that_it_holds() {
    let mut node = Node::new();
    node.agent.sigterm();
    assert_eq!(node.agent.wait_exit(DEADLINE), 0);
    // The release before kept neither of these, and no checksum with the key.
    let state = node.state();
    for name in ["format", "node_id.check", "desired.copy", "db.clean"] {
        fs::remove_file(state.join(name)).unwrap();
    }
    let key = fs::read(state.join("device.key")).unwrap();
    fs::write(state.join("device.key"), &key[..32]).unwrap();
    node.agent = node.agent.again(|builder| builder.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    node.agent.says("/fn", "served");
    node.agent.says("/keep", "value");
    assert_eq!(fs::read_to_string(state.join("node_id")).unwrap(), node.name);
    assert_eq!(fs::read(state.join("device.key")).unwrap(), key);
    let log = node.agent.log_since(0).join("\n");
    assert!(log.contains("has format 1 now") && !log.contains("compiling"), "{log}");
    assert!(fs::read_to_string(state.join("format")).unwrap().starts_with("1 "));
}

#[test]
fn a_directory_of_a_newer_format_is_refused_and_left_alone() {
    let mut node = Node::new();
    node.agent.sigterm();
    assert_eq!(node.agent.wait_exit(DEADLINE), 0);
    let format = node.state().join("format");
    // `2` and its CRC-32.
    fs::write(&format, "2 1ad5be0d\n").unwrap();
    let before = fs::read(node.state().join("db/db")).unwrap();
    let mut refused = agent().env("CACHE_DIR", node.state().display()).spawn();
    assert_eq!(refused.wait_exit(DEADLINE), 78);
    let said = refused.log_line_where("why", |line| line.contains("has format 2"));
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(fs::read(node.state().join("db/db")).unwrap(), before);
    assert_eq!(fs::read_to_string(format).unwrap(), "2 1ad5be0d\n");
}
