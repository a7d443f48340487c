//! Who is let in where: passwords, TLS 1.3 with an own authority, client certificates, and what must be refused.

use twinlet_tests::broker::LOGIN;
use twinlet_tests::site::NODE;
use twinlet_tests::{AgentBuilder, Broker, Certs, Hub, Site, guests, needs_mosquitto};

use crate::agent;

/// Deploys over this broker, to see that both directions work.
fn serves_over(broker: Broker, agent: AgentBuilder) {
    let site = Site::at(broker, agent).serving("fn", guests::answers("let in"));
    assert_eq!(site.agent.get("/fn").text(), "let in");
}

/// Starts an agent that must not get in, and waits until it says why: one of `reasons`.
fn is_kept_out(broker: &Broker, agent: &AgentBuilder, reasons: &[&str]) {
    let hub = Hub::at(broker, NODE);
    let mut agent = agent.clone().with(broker).start();
    agent.log_line_where(&format!("one of {reasons:?}"), |line| {
        let line = line.to_lowercase();
        line.contains("mqtt") && line.contains("warn") && reasons.iter().any(|r| line.contains(r))
    });
    assert_eq!(hub.status(), "", "it got in");
    assert_eq!(agent.metrics().sum("twinlet_mqtt_connected", &[]), 0.0);
    assert_eq!(agent.get("/healthz").status, 200);
    assert!(agent.runs());
}

#[test]
fn user_and_password_are_let_in() {
    if needs_mosquitto() {
        serves_over(Broker::with_password(), agent().login(LOGIN));
    }
}

#[test]
fn a_wrong_password_is_refused() {
    if needs_mosquitto() {
        let wrong = agent().login((LOGIN.0, "wrong"));
        is_kept_out(&Broker::with_password(), &wrong, &["authori", "refused", "password"]);
    }
}

#[test]
fn a_password_does_not_show_in_the_log() {
    if needs_mosquitto() {
        let broker = Broker::with_password();
        let agent =
            agent().login((LOGIN.0, "hunter2-hunter2")).env("LOG_LEVEL", "trace").with(&broker).start();
        agent.log_line_where("the refusal", |l| l.contains("WARN") && l.contains("mqtt"));
        assert!(agent.log_since(0).iter().all(|line| !line.contains("hunter2")));
    }
}

#[test]
fn tls_with_an_own_authority_is_let_in() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        serves_over(Broker::tls(&certs), agent().trusting(&certs.ca));
    }
}

#[test]
fn mutual_tls_is_let_in() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        serves_over(Broker::mutual_tls(&certs), agent().trusting(&certs.ca).showing(&certs.client));
    }
}

#[test]
fn the_wrong_authority_is_refused() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        let agent = agent().trusting(&certs.other_ca);
        is_kept_out(
            &Broker::tls(&certs),
            &agent,
            &["unknown issuer", "unknownissuer", "badsignature", "certificate"],
        );
    }
}

#[test]
fn without_an_own_authority_the_systems_do_not_vouch_for_it() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        is_kept_out(&Broker::tls(&certs), &agent(), &["unknown issuer", "unknownissuer", "certificate"]);
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        is_kept_out(&Broker::expired(&certs), &agent().trusting(&certs.ca), &["expired"]);
    }
}

#[test]
fn a_client_certificate_of_another_authority_is_refused() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        let stranger = agent().trusting(&certs.ca).showing(&certs.stranger);
        is_kept_out(&Broker::mutual_tls(&certs), &stranger, &["alert", "unknown", "closed", "certificate"]);
    }
}

#[test]
fn no_client_certificate_where_one_is_wanted_is_refused() {
    if needs_mosquitto() {
        let certs = Certs::generate();
        let bare = agent().trusting(&certs.ca);
        is_kept_out(&Broker::mutual_tls(&certs), &bare, &["alert", "required", "closed", "certificate"]);
    }
}

#[test]
fn the_embedded_broker_does_as_well() {
    serves_over(Broker::embedded(), agent());
}
