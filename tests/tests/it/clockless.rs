//! A device without a clock that can be relied on: it starts in 1970, and its clock is set while it runs.

use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_tests::faketime::{DeviceClock, IN_1970, IN_2038, needs_faketime, now};
use twinlet_tests::guests::actors;
use twinlet_tests::keys::{self, SignedRequest, Signer, entry};
use twinlet_tests::{AgentBuilder, DEADLINE, Site, eventually, guests};

use crate::agent;

/// No agent of this release takes the time to be earlier: 2026-11-01, in seconds.
const RELEASE: u64 = 1_793_491_200;
const DAY: u64 = 86_400;

/// What a function says of the time, and how far it is to trust it.
fn told(site: &Site) -> (u16, u64) {
    let answer = site.agent.get("/time");
    (answer.status, answer.text().parse().unwrap())
}

/// A site with `/time`, and `/timer` whose calls come back to it as casts after so long.
fn site_of(agent: AgentBuilder, delay: Duration) -> Site {
    let site = Site::start(agent);
    let time = site.function("time", guests::tells_time());
    let timer = actors::casts_later(u64::try_from(delay.as_millis()).unwrap(), "self");
    let timer = site.function("timer", timer).set("outputs", json!({}));
    site.apply(1, |d| d.serving(time).serving(timer));
    site
}

fn set_timer(site: &Site) {
    let answer = site.agent.post("/timer", "x");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}

fn fired(site: &Site) -> String {
    site.agent.post("/timer", "count").text()
}

/// Starts the agent again as after a power cut, where its clock shows this.
fn power_cut(site: &mut Site, clock: &DeviceClock, shows: u64) {
    site.agent.kill9();
    clock.set(shows);
    site.agent = site.agent.again(|builder| builder);
    eventually("the functions", || {
        let time = site.agent.get("/time").status;
        (time < 300 && fired(site).parse::<u32>().is_ok()).then_some(())
    });
}

#[test]
fn in_1970_with_nobody_there_what_was_accepted_last_is_served_and_time_does_not_go_back() {
    if !needs_faketime() {
        return;
    }
    let clock = DeviceClock::right();
    let Site { mut agent, hub, artifacts, broker } = site_of(clock.on(agent()), Duration::from_secs(3_600));
    agent.sigterm();
    assert_eq!(agent.wait_exit(DEADLINE), 0);
    let stopped = now();
    drop((hub, artifacts, broker));
    clock.set(IN_1970);
    let agent = agent.again(|builder| builder);
    let answer = agent.answers("/time", 200);
    let time: u64 = answer.text().parse().unwrap();
    assert!(time >= stopped.max(RELEASE) - 1, "the time of the last run is kept: {time}");
    agent.log_line_where("what is wrong", |line| line.contains("this clock is not set"));
    let status = agent.local("GET", "/twinlet/functions", b"").json();
    assert!(status["functions"][0]["since"].as_u64().unwrap() >= RELEASE, "{status}");
    eventually("a timer that is set", || (agent.post("/timer", "x").text() == "ok").then_some(()));
}

#[test]
fn a_device_that_never_had_the_time_takes_it_from_its_release() {
    if !needs_faketime() {
        return;
    }
    let clock = DeviceClock::at(IN_1970);
    let site = site_of(clock.on(agent()), Duration::from_secs(3_600));
    let (trust, time) = told(&site);
    assert_eq!(trust, 200, "not to be trusted");
    assert!((RELEASE..RELEASE + 600).contains(&time), "{time}");
    let beat = site.hub.heartbeat_where("any", |_| true);
    assert!(beat["timestamp"].as_u64().unwrap() >= RELEASE, "{beat}");
    clock.set_right();
    eventually("the true time", || (told(&site).0 != 200).then_some(()));
    assert!(told(&site).1.abs_diff(now()) <= 2);
}

#[test]
fn timers_keep_their_time_whatever_the_wall_clock_does() {
    if !needs_faketime() {
        return;
    }
    let delay = Duration::from_secs(6);
    let clock = DeviceClock::right();
    let site = site_of(clock.on(agent()), delay);
    let set = Instant::now();
    set_timer(&site);
    let mut mark = site.agent.mark();
    for shows in [IN_2038, now() + DAY, now() - DAY] {
        clock.set(shows);
        site.agent.log_line_after(mark, "the step", |line| line.contains("the clock was set by"));
        mark = site.agent.mark();
        assert!(fired(&site) == "0" || set.elapsed() >= delay, "too early");
    }
    clock.set(IN_1970);
    eventually("the clock that is not set", || (told(&site).0 == 200).then_some(()));
    eventually("the timer", || (fired(&site) == "1").then_some(()));
    let after = set.elapsed();
    assert!(after >= delay && after < delay + Duration::from_secs(20), "{after:?}");
}

#[test]
fn a_timer_that_was_set_before_the_clock_was_does_not_fire_early_after_a_restart() {
    if !needs_faketime() {
        return;
    }
    let clock = DeviceClock::at(IN_1970);
    // Longer than this test and much shorter than the way from the release to now.
    let mut site = site_of(clock.on(agent()), Duration::from_secs(3_600));
    set_timer(&site);
    let mark = site.agent.mark();
    clock.set(now().max(RELEASE + DAY));
    site.agent.log_line_after(mark, "the step", |line| line.contains("the clock was set by +"));
    // The step is told to those who retry after the timers were written, or soon.
    site.agent.log_line_after(mark, "the timers", |line| line.contains("1 timers by the new time"));
    power_cut(&mut site, &clock, now().max(RELEASE + DAY));
    assert_eq!(fired(&site), "0");
    assert_eq!(site.agent.metrics().sum("twinlet_timers", &[]), 1.0, "and it is not lost");
    // Nor where the device wakes up in 1970 again.
    power_cut(&mut site, &clock, IN_1970);
    assert_eq!(fired(&site), "0");
    assert_eq!(site.agent.metrics().sum("twinlet_timers", &[]), 1.0);
}

#[test]
fn a_timer_that_came_due_while_the_power_was_off_fires_at_the_start() {
    if !needs_faketime() {
        return;
    }
    let clock = DeviceClock::right();
    let mut site = site_of(clock.on(agent()), Duration::from_secs(3_600));
    set_timer(&site);
    power_cut(&mut site, &clock, now() + DAY);
    eventually("the timer", || (fired(&site) == "1").then_some(()));
}

#[test]
fn no_signature_is_good_until_the_clock_is_set_and_keys_are() {
    if !needs_faketime() {
        return;
    }
    let signer = Signer::new("meter", &[7; 32]);
    let clock = DeviceClock::at(IN_1970);
    let builder = clock.on(agent());
    let file = builder.state_dir().join("keys.toml");
    keys::write(&file, &(signer.entry("routes = [\"/fn\"]") + &entry("web", "a-key", "routes = [\"/fn\"]")));
    let site = Site::start(builder.env("API_KEYS_FILE", file.display())).serving("fn", guests::answers("hi"));
    let signed =
        |nonce: &str| signer.send(&site.agent.url(""), &SignedRequest::new("GET", "/fn", nonce, b""));
    assert_eq!(signed("first").status, 401);
    site.agent.log_line_where("why", |line| line.contains("this node's clock is not set"));
    assert_eq!(site.agent.request("GET", "/fn").header("x-api-key", "a-key").send().status, 200);
    clock.set_right();
    assert_eq!(signed("second").status, 200);
}
