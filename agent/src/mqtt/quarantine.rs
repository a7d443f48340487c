//! Finds the topic whose message keeps ending the connection, and leaves it out for a while; pure, knows nothing of
//! sockets.
//!
//! A packet above rumqttc's limit ends the connection before its topic is read. So every topic is trusted at first
//! and subscribed together. When such a packet ends a connection, no topic is trusted any more: on the next
//! connection each is subscribed alone, on trial. The one on trial when the connection ends again is the culprit.

use std::time::Duration;

use tokio::time::Instant;

use super::topics::Inbound;

/// How long a culprit is left out before it is tried again.
const LEFT_OUT: Duration = Duration::from_secs(600);
/// How long to wait before asking again for a topic that the broker refused.
const REFUSED: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Trusted,
    Untested,
    LeftOut { until: Instant },
}

/// What is thought of each topic, and which one is on trial.
#[derive(Debug)]
pub(super) struct Quarantine {
    topics: [(Inbound, Standing); 4],
    on_trial: Option<Inbound>,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { topics: Inbound::ALL.map(|kind| (kind, Standing::Trusted)), on_trial: None }
    }
}

impl Quarantine {
    /// A new connection: nothing is on trial, and these can be subscribed together.
    pub(super) fn trusted(&mut self) -> Vec<Inbound> {
        self.on_trial = None;
        let trusted = self.topics.iter().filter(|(_, standing)| *standing == Standing::Trusted);
        trusted.map(|(kind, _)| *kind).collect()
    }

    /// The next topic to subscribe alone, if one is untested or its time out is over.
    pub(super) fn next_trial(&mut self, now: Instant) -> Option<Inbound> {
        self.on_trial = self.topics.iter().find_map(|(kind, standing)| match standing {
            Standing::Trusted => None,
            Standing::Untested => Some(*kind),
            Standing::LeftOut { until } => (*until <= now).then_some(*kind),
        });
        self.on_trial
    }

    /// When the next topic that is left out is to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        let until = |(_, standing): &(Inbound, Standing)| match standing {
            Standing::LeftOut { until } => Some(*until),
            Standing::Trusted | Standing::Untested => None,
        };
        self.topics.iter().filter_map(until).min()
    }

    /// The topic on trial did no harm. Gives it if it had been left out until now.
    pub(super) fn passed(&mut self) -> Option<Inbound> {
        let kind = self.on_trial.take()?;
        let back = matches!(self.set(kind, Standing::Trusted), Some(Standing::LeftOut { .. }));
        back.then_some(kind)
    }

    /// The broker refused a subscription to this topic. Says whether that is news.
    pub(super) fn refused(&mut self, kind: Inbound, now: Instant) -> bool {
        self.on_trial = None;
        !matches!(self.set(kind, Standing::LeftOut { until: now + REFUSED }), Some(Standing::LeftOut { .. }))
    }

    /// A packet that cannot be read ended the connection. Gives the culprit, now left out, and whether that is news,
    /// or `None` when it is not yet known and the topics must be tried one at a time.
    pub(super) fn poisoned(&mut self, now: Instant) -> Option<(Inbound, bool)> {
        if let Some(kind) = self.on_trial.take() {
            let before = self.set(kind, Standing::LeftOut { until: now + LEFT_OUT });
            return Some((kind, !matches!(before, Some(Standing::LeftOut { .. }))));
        }
        for (_, standing) in &mut self.topics {
            if *standing == Standing::Trusted {
                *standing = Standing::Untested;
            }
        }
        None
    }

    /// How many topics are left out now.
    pub(super) fn left_out(&self) -> u64 {
        self.topics.iter().map(|(_, standing)| u64::from(matches!(standing, Standing::LeftOut { .. }))).sum()
    }

    /// Gives the standing until now.
    fn set(&mut self, kind: Inbound, to: Standing) -> Option<Standing> {
        let (_, standing) = self.topics.iter_mut().find(|(topic, _)| *topic == kind)?;
        Some(std::mem::replace(standing, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_culprit_is_found_by_trial_left_out_and_tried_again_later() {
        let now = Instant::now();
        let mut quarantine = Quarantine::default();
        assert_eq!(quarantine.trusted(), Inbound::ALL);
        assert_eq!(quarantine.next_trial(now), None);
        assert_eq!(quarantine.poisoned(now), None);

        assert_eq!(quarantine.trusted(), []);
        assert_eq!(quarantine.next_trial(now), Some(Inbound::Deployment));
        quarantine.passed();
        assert_eq!(quarantine.next_trial(now), Some(Inbound::Routes));
        assert_eq!(quarantine.poisoned(now), Some((Inbound::Routes, true)));

        assert_eq!(quarantine.trusted(), [Inbound::Deployment]);
        for expected in [Inbound::Desired, Inbound::DesiredPatch] {
            assert_eq!(quarantine.next_trial(now), Some(expected));
            quarantine.passed();
        }
        assert_eq!(quarantine.next_trial(now), None);
        assert_eq!(quarantine.left_out(), 1);

        let later = quarantine.next_retry().unwrap();
        assert_eq!(later, now + LEFT_OUT);
        assert_eq!(quarantine.next_trial(later), Some(Inbound::Routes));
        assert_eq!(quarantine.poisoned(later), Some((Inbound::Routes, false)));
        let later = quarantine.next_retry().unwrap();
        assert_eq!(quarantine.next_trial(later), Some(Inbound::Routes));
        assert_eq!(quarantine.passed(), Some(Inbound::Routes));
        assert_eq!(quarantine.left_out(), 0);
        assert_eq!(quarantine.trusted(), Inbound::ALL);
    }

    #[test]
    fn a_connection_lost_for_another_reason_blames_nobody() {
        let now = Instant::now();
        let mut quarantine = Quarantine::default();
        quarantine.poisoned(now);
        assert_eq!(quarantine.next_trial(now), Some(Inbound::Deployment));
        assert_eq!(quarantine.trusted(), []);
        assert_eq!(quarantine.next_trial(now), Some(Inbound::Deployment));
        assert_eq!(quarantine.left_out(), 0);
    }

    #[test]
    fn a_refused_topic_is_asked_for_again_and_the_others_stay() {
        let now = Instant::now();
        let mut quarantine = Quarantine::default();
        assert!(quarantine.refused(Inbound::Desired, now));
        assert!(!quarantine.refused(Inbound::Desired, now));
        assert_eq!(quarantine.trusted().len(), 3);
        assert_eq!(quarantine.next_trial(now), None);
        assert_eq!(quarantine.next_trial(now + REFUSED), Some(Inbound::Desired));
    }
}
