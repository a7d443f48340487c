//! The names of the topics, as the contract gives them; pure, knows nothing of what the messages say.

use super::operator::Said;
use crate::config::NodeId;

/// What an incoming message is about, by the topic it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inbound {
    /// `edge/deployments/{node_id}`: one function.
    Deployment,
    /// `edge/routes/{node_id}`: the whole route list.
    Routes,
    /// `edge/twin/{node_id}/desired`: the whole desired state, retained.
    Desired,
    /// `edge/twin/{node_id}/desired/patch`: an RFC 7396 merge patch of the desired state.
    DesiredPatch,
}

impl Inbound {
    /// Every kind, in the order in which they are subscribed.
    pub(super) const ALL: [Self; 4] = [Self::Deployment, Self::Routes, Self::Desired, Self::DesiredPatch];
}

/// The topics of one node.
#[derive(Debug)]
pub(super) struct Topics {
    node: String,
}

impl Topics {
    pub(super) fn new(node: &NodeId) -> Self {
        Self { node: node.as_str().to_owned() }
    }

    /// The filter to subscribe to; no wildcards, so it is also the topic of every message.
    pub(super) fn inbound(&self, kind: Inbound) -> String {
        let node = &self.node;
        match kind {
            Inbound::Deployment => format!("edge/deployments/{node}"),
            Inbound::Routes => format!("edge/routes/{node}"),
            Inbound::Desired => format!("edge/twin/{node}/desired"),
            Inbound::DesiredPatch => format!("edge/twin/{node}/desired/patch"),
        }
    }

    /// The kind of a message by its topic; `None` when it is not one of ours.
    pub(super) fn kind_of(&self, topic: &str) -> Option<Inbound> {
        Inbound::ALL.into_iter().find(|kind| self.inbound(*kind) == topic)
    }

    pub(super) fn heartbeat(&self) -> String {
        format!("edge/heartbeat/{}", self.node)
    }

    pub(super) fn reported(&self) -> String {
        format!("edge/twin/{}/reported", self.node)
    }

    pub(super) fn status(&self) -> String {
        format!("edge/status/{}", self.node)
    }

    /// `None` when the id would not be exactly one topic level: a broker ends the connection over such a topic.
    pub(super) fn telemetry(&self, function_id: &str) -> Option<String> {
        let bad = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
        let one_level = !function_id.is_empty() && function_id.len() <= 256 && !function_id.contains(bad);
        one_level.then(|| format!("edge/telemetry/{}/{function_id}", self.node))
    }

    /// A filter for the telemetry of all functions.
    pub(super) fn all_telemetry(&self) -> String {
        format!("edge/telemetry/{}/+", self.node)
    }

    /// What an operator hears on a topic; `None` when it is not one that the node speaks on.
    pub(super) fn said(&self, topic: &str) -> Option<Said> {
        let same = |ours: String, said: Said| (ours == topic).then_some(said);
        same(self.inbound(Inbound::Desired), Said::Desired)
            .or_else(|| same(self.reported(), Said::Reported))
            .or_else(|| same(self.status(), Said::Status))
            .or_else(|| same(self.heartbeat(), Said::Heartbeat))
            .or_else(|| {
                let function = topic.strip_prefix("edge/telemetry/")?.strip_prefix(self.node.as_str())?;
                Some(Said::Telemetry(function.strip_prefix('/')?.to_owned()))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics { node: "n1".to_owned() }
    }

    #[test]
    fn topics_are_those_of_the_contract() {
        let ours = topics();
        let inbound: Vec<String> = Inbound::ALL.into_iter().map(|kind| ours.inbound(kind)).collect();
        assert_eq!(
            inbound,
            ["edge/deployments/n1", "edge/routes/n1", "edge/twin/n1/desired", "edge/twin/n1/desired/patch"]
        );
        assert_eq!(ours.heartbeat(), "edge/heartbeat/n1");
        assert_eq!(ours.reported(), "edge/twin/n1/reported");
        assert_eq!(ours.status(), "edge/status/n1");
        assert_eq!(ours.telemetry("fn_a").as_deref(), Some("edge/telemetry/n1/fn_a"));
    }

    #[test]
    fn a_message_is_known_by_its_exact_topic() {
        let ours = topics();
        for kind in Inbound::ALL {
            assert_eq!(ours.kind_of(&ours.inbound(kind)), Some(kind));
        }
        for other in
            ["", "edge/routes/n2", "edge/routes/n1/", "edge/twin/n1/reported", "edge/twin/n1/desired/x"]
        {
            assert_eq!(ours.kind_of(other), None, "{other}");
        }
    }

    #[test]
    fn an_operator_knows_what_a_node_says_by_its_topic() {
        let ours = topics();
        for (topic, said) in [
            ("edge/twin/n1/desired", Some(Said::Desired)),
            ("edge/twin/n1/reported", Some(Said::Reported)),
            ("edge/status/n1", Some(Said::Status)),
            ("edge/heartbeat/n1", Some(Said::Heartbeat)),
            ("edge/telemetry/n1/fn_a", Some(Said::Telemetry("fn_a".to_owned()))),
            ("edge/telemetry/n11/fn_a", None),
            ("edge/status/n2", None),
        ] {
            assert_eq!(ours.said(topic), said, "{topic}");
        }
    }

    #[test]
    fn an_id_that_would_break_the_topic_gets_none() {
        for id in ["", "a/b", "+", "#", "a\0", "a\nb", &"x".repeat(300)] {
            assert_eq!(topics().telemetry(id), None, "{id:?}");
        }
    }
}
