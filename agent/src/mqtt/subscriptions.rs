//! Which topics to ask for next on one connection, and when; decides only, knows nothing of sockets.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumqttc::{SubAck, SubscribeReasonCode};
use tokio::time::Instant;

use super::Counters;
use super::quarantine::Quarantine;
use super::topics::{Inbound, Topics};

/// How long the broker may take to answer a SUBSCRIBE. Retained messages may come before the answer.
const SUBACK_WITHIN: Duration = Duration::from_secs(60);
/// How long a topic on trial must do no harm. Brokers send the retained message right after a SUBSCRIBE, and the
/// first bytes of it are enough to tell.
const TRIAL: Duration = Duration::from_secs(2);

/// What is waited for.
#[derive(Debug)]
enum Waiting {
    /// Nothing but the time of the next retry.
    Idle,
    /// SUBACK for these.
    Asked { kinds: Vec<Inbound>, until: Instant },
    /// Harm by the topic on trial, which was granted.
    Trying { until: Instant },
}

/// The subscriptions of one connection. First the trusted topics together, then the others one at a time. Where a
/// method gives topics, those are to be asked for now, in one SUBSCRIBE; none means: nothing to ask.
pub(super) struct Subscriptions<'a> {
    topics: &'a Topics,
    quarantine: &'a mut Quarantine,
    counters: &'a Counters,
    waiting: Waiting,
    up: bool,
}

impl<'a> Subscriptions<'a> {
    /// For a new connection; `start` follows.
    pub(super) fn new(topics: &'a Topics, quarantine: &'a mut Quarantine, counters: &'a Counters) -> Self {
        Self { topics, quarantine, counters, waiting: Waiting::Idle, up: false }
    }

    /// What to ask for first.
    pub(super) fn start(&mut self, now: Instant) -> Vec<Inbound> {
        let trusted = self.quarantine.trusted();
        if trusted.is_empty() {
            self.up = true;
            return self.next_trial(now);
        }
        self.ask(trusted, now)
    }

    /// Whether the trusted topics were answered for.
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// The broker answered the last request.
    pub(super) fn on_suback(&mut self, suback: &SubAck, now: Instant) -> Vec<Inbound> {
        let Waiting::Asked { kinds, .. } = std::mem::replace(&mut self.waiting, Waiting::Idle) else {
            return Vec::new();
        };
        // A broker that answers for too few topics has refused the rest.
        let codes = suback.return_codes.iter().chain(std::iter::repeat(&SubscribeReasonCode::Failure));
        let mut all_granted = true;
        for (kind, _) in
            kinds.into_iter().zip(codes).filter(|(_, code)| **code == SubscribeReasonCode::Failure)
        {
            all_granted = false;
            if self.quarantine.refused(kind, now) {
                let topic = self.topics.inbound(kind);
                log::warn!("mqtt: the broker refuses the subscription to {topic}; asking again every minute");
            }
        }
        self.count_left_out();
        let on_trial = std::mem::replace(&mut self.up, true);
        if on_trial && all_granted {
            self.waiting = Waiting::Trying { until: now + TRIAL };
            return Vec::new();
        }
        self.next_trial(now)
    }

    /// When `on_time` wants to be called.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match &self.waiting {
            Waiting::Asked { until, .. } | Waiting::Trying { until } => Some(*until),
            Waiting::Idle => self.quarantine.next_retry(),
        }
    }

    /// The time of `wake_at` has come. Fails when the broker owes an answer.
    pub(super) fn on_time(&mut self, now: Instant) -> Result<Vec<Inbound>, String> {
        match &self.waiting {
            Waiting::Asked { .. } => {
                return Err("the broker did not answer a subscription in time".to_owned());
            }
            Waiting::Trying { .. } => {
                if let Some(kind) = self.quarantine.passed() {
                    log::info!("mqtt: {} is subscribed again", self.topics.inbound(kind));
                }
                self.count_left_out();
            }
            Waiting::Idle => {}
        }
        Ok(self.next_trial(now))
    }

    /// A packet that cannot be read ended the connection: blame the topic on trial, or put all on trial.
    pub(super) fn on_poison(&mut self, now: Instant) {
        match self.quarantine.poisoned(now) {
            None => log::warn!("mqtt: a message cannot be received; trying the topics one at a time"),
            Some((kind, true)) => {
                let topic = self.topics.inbound(kind);
                log::warn!(
                    "mqtt: the message on {topic} cannot be received; leaving the topic out for 10 minutes"
                );
            }
            Some((kind, false)) => log::debug!("mqtt: {kind:?} still cannot be received"),
        }
        self.count_left_out();
    }

    fn next_trial(&mut self, now: Instant) -> Vec<Inbound> {
        self.waiting = Waiting::Idle;
        self.quarantine.next_trial(now).map(|kind| self.ask(vec![kind], now)).unwrap_or_default()
    }

    fn ask(&mut self, kinds: Vec<Inbound>, now: Instant) -> Vec<Inbound> {
        self.waiting = Waiting::Asked { kinds: kinds.clone(), until: now + SUBACK_WITHIN };
        kinds
    }

    fn count_left_out(&self) {
        self.counters.topics_left_out.store(self.quarantine.left_out(), Relaxed);
    }
}
