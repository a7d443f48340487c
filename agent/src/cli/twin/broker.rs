//! Which broker and which node is meant: flags, and the environment variables that an agent has as well. The values are
//! read by the same table of keys as an agent's.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use crate::config::{Layers, Mqtt, NodeId, Resolved, Source};
use crate::mqtt::{Operator, OperatorError, probe};

/// How long the broker has for any one thing.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Each flag, the key that it stands for, the name of its value, and its help.
const FLAGS: &[(&str, &str, &str, &str)] = &[
    ("broker", "mqtt_broker", "URL", "mqtt://[user@]host[:1883], or mqtts://…[:8883] for TLS"),
    ("node", "node_id", "ID", "The node's name"),
    ("ca-file", "mqtt_ca_file", "FILE", "PEM file of the authorities to trust instead of the system's"),
    ("cert-file", "mqtt_cert_file", "FILE", "PEM file of this client's certificate"),
    ("key-file", "mqtt_key_file", "FILE", "PEM file of that certificate's private key"),
    ("username", "mqtt_username", "TEXT", "User name for the broker"),
    ("password", "mqtt_password", "TEXT", "Password for the broker; better as MQTT_PASSWORD"),
];

/// A broker, and a node at it.
pub(super) struct Place {
    pub(super) node: NodeId,
    settings: Mqtt,
}

/// A command with the flags that say which broker and which node.
pub(super) fn with_broker(command: Command) -> Command {
    command.args(FLAGS.iter().map(|&(flag, key, value, help)| {
        let env: &'static str = key.to_uppercase().leak();
        Arg::new(flag)
            .long(flag)
            .value_name(value)
            .help_heading("Which broker and node")
            .help(help)
            .long_help(format!("{help}\n[env: {env}]"))
    }))
}

/// What flags and environment say, or everything that is wrong with it.
pub(super) fn of(matches: &ArgMatches) -> Result<Place, Vec<String>> {
    let given = |flag: &str, key: &'static str| Some((key, matches.get_one::<String>(flag)?.clone()));
    let flags = FLAGS.iter().filter_map(|&(flag, key, ..)| given(flag, key)).collect();
    let known = |name: &str| FLAGS.iter().any(|(_, key, ..)| key.to_uppercase() == name);
    let env = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(known)).collect();
    let resolved = Resolved::from_layers(Layers { file: None, env, flags }).map_err(|problems| {
        let named = |key: &Option<String>, source: &Source| {
            let key = key.as_deref().unwrap_or_default();
            let flag = FLAGS.iter().find(|(_, name, ..)| *name == key).map_or(key, |(flag, ..)| flag);
            if *source == Source::Flag { format!("--{flag}") } else { key.to_uppercase() }
        };
        problems
            .as_slice()
            .iter()
            .map(|p| format!("{}: {}", named(&p.key, &p.source), p.fault))
            .collect::<Vec<_>>()
    })?;
    let node = resolved.config.node_id.ok_or_else(|| vec!["--node is needed, or NODE_ID".to_owned()])?;
    Ok(Place { node, settings: resolved.config.mqtt })
}

impl Place {
    /// Connects as an operator.
    pub(super) fn connect(&self) -> Result<Operator, OperatorError> {
        Operator::connect(&self.settings, &self.node, "op", PATIENCE)
    }

    /// The broker, without credentials.
    pub(super) fn broker(&self) -> String {
        probe::broker(&self.settings)
    }
}
