//! A wall clock that is wrong, at the start or from one moment on: functions serve, rollouts go on, telemetry flows,
//! and timers keep to the time that has really passed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use twinlet_tests::ledger::LATER;
use twinlet_tests::loaded::Loaded;
use twinlet_tests::whole::Whole;
use twinlet_tests::{Agent, AgentBuilder};

use crate::row::{Bed, Row, Tries, agent};
use crate::shim::{Shim, no_shim};

pub(crate) const CLOCK: Row = Row {
    name: "clock",
    fault: "clock steps: 1970, 2038, a day back, a day on",
    short: 8,
    full: 80,
    per_bed: 16,
    at_once: 1,
    left_out: no_shim,
    bed: || Box::new(Stepped::prepared()),
};

const DAY: Duration = Duration::from_secs(86_400);
/// A little after 32 bits of seconds have run out.
const IN_2038: Duration = Duration::from_secs(1 << 31);
/// A clock that was never set.
const IN_1970: Duration = Duration::from_secs(5);
/// After which `later` sends what it was posted.
const TIMER: Duration = Duration::from_millis(1_200);
/// How much later that may be, on a busy machine.
const SLACK: Duration = Duration::from_secs(8);

struct Stepped {
    node: Loaded,
    builder: AgentBuilder,
    shim: Shim,
    running: Agent,
    whole: Whole,
    latest: u64,
}

impl Stepped {
    fn prepared() -> Self {
        let node = Loaded::around(agent());
        let (shim, builder) = Shim::before(node.builder.clone(), node.builder.state_dir());
        let running = builder.start();
        node.roll_out(1);
        node.hub.applied(1);
        Self { node, builder, shim, running, whole: Whole::seen(1), latest: 1 }
    }

    /// Sees to it that everything goes on: a rollout, telemetry, and a timer.
    fn goes_on(&mut self, what: &str) {
        self.latest += 1;
        self.node.roll_out(self.latest);
        self.whole.reaches(&self.running, self.latest);
        let mark = self.node.hub.mark();
        assert_eq!(self.running.post("/one", what).status, 200);
        let topic = self.node.hub.topic("telemetry", "/one");
        self.node.hub.wait_after(mark, &topic, what, |message| message.text() == what);
        assert_eq!(self.running.metrics().sum("twinlet_mqtt_connected", &[]), 1.0);
    }

    fn set_timer(&self, what: &str) -> Instant {
        let set = self.running.post(&format!("/{LATER}"), what);
        assert_eq!((set.status, set.text().as_str()), (200, "ok"));
        Instant::now()
    }

    /// Waits for a timer, which is not to be late.
    fn fires(&self, what: &str, set: Instant) -> Duration {
        let topic = self.node.hub.topic("telemetry", &format!("/{LATER}"));
        self.node.hub.wait_after(0, &topic, what, |message| message.text() == what);
        let took = set.elapsed();
        assert!(took < TIMER + SLACK, "a timer of {TIMER:?} took {took:?}: {what}");
        took
    }
}

impl Bed for Stepped {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (name, to) =
            [("1970", IN_1970), ("2038", IN_2038), ("a day back", now - DAY), ("a day on", now + DAY)]
                [usize::try_from(tries.number() % 4).unwrap()];
        let at_start = tries.number() / 4 % 2 == 1;
        let what = format!("{name} {} {}", if at_start { "at the start" } else { "running" }, tries.number());
        let set = self.set_timer(&what);
        if at_start {
            self.running.kill9();
            self.shim.set_clock(to);
            self.running = self.builder.start();
            self.whole.check(&self.running, self.latest);
            self.fires(&what, set);
        } else {
            self.shim.set_clock(to);
            let took = self.fires(&what, set);
            assert!(took + Duration::from_millis(200) > TIMER, "a timer of {TIMER:?} took {took:?}: {what}");
        }
        self.goes_on(&what);
        // And back to what is right.
        let what = format!("{what}, and back");
        let set = self.set_timer(&what);
        self.shim.right_clock();
        self.fires(&what, set);
        self.goes_on(&what);
    }
}
