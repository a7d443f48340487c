//! Certificates and logins that are refused, by a wrong clock or rightly: nothing on the device goes for it, and all
//! comes right by itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use twinlet_tests::broker::LOGIN;
use twinlet_tests::certs::Pair;
use twinlet_tests::faketime::{DeviceClock, IN_1970, IN_2038, needs_faketime};
use twinlet_tests::tls_front::TlsFront;
use twinlet_tests::{Agent, Broker, Certs, DEADLINE, Function, Site, eventually, guests, needs_mosquitto};

use crate::agent;

/// Serves version 1 of `fn`, and is stopped again.
fn with_something_to_lose(site: Site) -> (Agent, Site) {
    let site = site.serving("fn", guests::answers("kept"));
    let Site { mut agent, hub, artifacts, broker } = site;
    agent.sigterm();
    assert_eq!(agent.wait_exit(DEADLINE), 0);
    let again = agent.again(|builder| builder);
    (agent, Site { agent: again, hub, artifacts, broker })
}

/// The artifacts in a state directory, by name, with their lengths.
fn artifacts(state: &Path) -> BTreeMap<String, u64> {
    let files = std::fs::read_dir(state.join("artifacts")).unwrap().map(Result::unwrap);
    files.map(|f| (f.file_name().into_string().unwrap(), f.metadata().unwrap().len())).collect()
}

fn connected(agent: &Agent) -> bool {
    agent.metrics().sum("twinlet_mqtt_connected", &[]) == 1.0
}

fn attempts(agent: &Agent) -> f64 {
    agent.metrics().sum("twinlet_mqtt_events_total", &["event=\"connect_failure\""])
}

/// Waits until the broker is not reached for this reason, twice at least, and looks that nothing is lost by it.
fn refused_without_loss(agent: &Agent, mark: usize, before: &BTreeMap<String, u64>, why: &str) {
    agent.log_line_after(mark, why, |line| line.contains("cannot connect") && line.contains(why));
    let first = attempts(agent);
    eventually("more attempts", || (attempts(agent) >= first + 1.0).then_some(()));
    assert!(!connected(agent));
    agent.says("/fn", "kept");
    assert_eq!(artifacts(agent.state_dir()), *before);
}

#[test]
fn in_1970_brokers_servers_and_what_guests_call_are_reached_by_tls() {
    if !needs_mosquitto() || !needs_faketime() {
        return;
    }
    let certs = Certs::generate();
    let clock = DeviceClock::at(IN_1970);
    let builder = clock.on(agent()).trusting(&certs.ca).env("ARTIFACT_CA_FILE", certs.ca.display());
    let site = Site::at(Broker::tls(&certs), builder);
    let front = TlsFront::start(&site.artifacts.base(), &certs.server);
    let artifact = site.artifact("fn", guests::fetches(&format!("{}/fn.wasm", front.base())));
    let function = Function::of("fn", &artifact)
        .set("artifact_url", format!("{}/fn.wasm", front.base()))
        .set("permissions", json!({ "http": [format!("{}/*", front.base())] }));
    site.apply(1, |d| d.serving(function));
    site.agent.says("/fn", "200");
    // One that was renewed while the device had no time is not valid yet by its clock, and is taken.
    front.show(&certs.later);
    site.agent.says("/fn", "200");
    // One that has expired by what the device does know is not. The error's case is that of TLS.
    front.show(&certs.expired);
    let answer = site.agent.answers("/fn", 502);
    assert_eq!(answer.text(), "3");
}

#[test]
fn in_1970_an_expired_certificate_is_still_an_expired_one() {
    if !needs_mosquitto() || !needs_faketime() {
        return;
    }
    let certs = Certs::generate();
    let clock = DeviceClock::at(IN_1970);
    let mut broker = Broker::expired(&certs);
    let agent = clock.on(agent()).trusting(&certs.ca).with(&broker).start();
    agent.log_line_where("the expired certificate", |line| line.contains("certificate has expired"));
    assert!(!connected(&agent));
    broker.stop();
}

#[test]
fn a_clock_that_was_wrong_lets_the_broker_be_reached_as_soon_as_it_is_set() {
    if !needs_mosquitto() || !needs_faketime() {
        return;
    }
    let certs = Certs::generate();
    certs.renew_server(&certs.brief);
    let clock = DeviceClock::right();
    let broker = Broker::tls(&certs);
    let site = Site::at(broker, clock.on(agent()).trusting(&certs.ca));
    let mut site = site.serving("fn", guests::answers("kept"));
    let before = artifacts(site.agent.state_dir());
    let (mark, lines) = (site.hub.mark(), site.agent.mark());
    clock.set(IN_2038);
    site.agent.log_line_after(lines, "the step", |line| line.contains("the clock was set by +"));
    assert!(connected(&site.agent), "what is connected stays so");
    site.broker.restart();
    refused_without_loss(&site.agent, lines, &before, "certificate has expired");
    let wait =
        |line: &str| line.rsplit_once("next attempt in ")?.1.trim_end_matches(" s").parse::<f32>().ok();
    let lines = site.agent.mark();
    site.agent.log_line_after(lines, "a long wait", |line| wait(line).is_some_and(|secs| secs > 5.0));
    let lines = site.agent.mark();
    clock.set_right();
    site.agent.log_line_after(lines, "at once", |line| line.contains("the clock was set, trying"));
    site.hub.status_after(mark, "online");
    // 2038 has left nothing behind: the same after a restart in 1970.
    site.agent.sigterm();
    site.agent.wait_exit(DEADLINE);
    clock.set(IN_1970);
    let mark = site.hub.mark();
    site.agent = site.agent.again(|builder| builder);
    site.hub.status_after(mark, "online");
    site.agent.says("/fn", "kept");
}

/// The broker's certificate is replaced by a bad one for a while.
fn lets_in_again_after(bad: impl Fn(&Certs) -> &Pair, why: &str) {
    if !needs_mosquitto() {
        return;
    }
    let certs = Certs::generate();
    let good = certs.of_server();
    let mut site = Site::at(Broker::tls(&certs), agent().trusting(&certs.ca));
    site = site.serving("fn", guests::answers("kept"));
    let before = artifacts(site.agent.state_dir());
    let (mark, lines) = (site.hub.mark(), site.agent.mark());
    certs.renew_server(bad(&certs));
    site.broker.restart();
    refused_without_loss(&site.agent, lines, &before, why);
    certs.renew_server(&good);
    site.broker.restart();
    site.hub.status_after(mark, "online");
    assert_eq!(artifacts(site.agent.state_dir()), before);
}

#[test]
fn a_certificate_that_expired_and_is_renewed_lets_the_agent_in_by_itself() {
    lets_in_again_after(|certs| &certs.expired, "certificate has expired");
}

#[test]
fn a_certificate_of_a_stranger_that_is_replaced_lets_the_agent_in_by_itself() {
    lets_in_again_after(|certs| &certs.foreign, "authority that is not trusted");
}

#[test]
fn a_login_that_is_refused_takes_nothing_away() {
    if !needs_mosquitto() {
        return;
    }
    let (_first, site) = with_something_to_lose(Site::at(Broker::with_password(), agent().login(LOGIN)));
    let before = artifacts(site.agent.state_dir());
    let Site { mut agent, hub, artifacts: server, broker } = site;
    agent.kill9();
    let agent = agent.again(|builder| builder.login((LOGIN.0, "wrong")));
    drop(server);
    refused_without_loss(&agent, 0, &before, "the broker refused");
    drop((hub, broker));
}

#[test]
fn a_server_that_refuses_or_is_not_trusted_takes_nothing_away_and_is_asked_again() {
    let certs = Certs::generate();
    let site = Site::start(agent().env("ARTIFACT_CA_FILE", certs.ca.display()));
    let site = site.serving("fn", guests::answers("kept"));
    let front = TlsFront::start(&site.artifacts.base(), &certs.server);
    for (version, (pair, refusal, why)) in (2u64..).zip([
        (&certs.expired, None, "expired"),
        (&certs.server, Some("401 Unauthorized"), "401"),
        (&certs.server, Some("403 Forbidden"), "403"),
    ]) {
        let before = artifacts(site.agent.state_dir());
        front.show(pair);
        front.refuse(refusal);
        let name = format!("v{version}");
        let artifact = site.artifact(&name, guests::answers(&name));
        let function = Function::of("fn", &artifact).version(version);
        let function = function.set("artifact_url", format!("{}/{name}.wasm", front.base()));
        let mark = site.hub.mark();
        site.hub.publish_desired(twinlet_tests::Desired::version(version).serving(function));
        site.hub.reported_after(mark, why, |r| {
            let function = &r["functions"]["fn"];
            function["version"] == version && function["lastError"].to_string().contains(why)
        });
        let serving = if version == 2 { "kept".to_owned() } else { format!("v{}", version - 1) };
        assert_eq!(site.agent.get("/fn").text(), serving);
        for file in before.keys() {
            assert!(artifacts(site.agent.state_dir()).contains_key(file), "{file} is gone");
        }
        front.show(&certs.server);
        front.refuse(None);
        site.agent.says("/fn", &name);
    }
}
