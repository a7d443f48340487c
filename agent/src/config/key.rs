//! What one setting is: name, default, form, range, help. It knows nothing of files, environment or flags.

/// One setting. Its TOML key is `name`, its environment variable the same in upper case, its flag in kebab-case.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Lower case with underscores, unique.
    pub name: &'static str,
    /// The text that stands for it where no layer gives one; `None` means: unset, or derived, as the help says.
    pub default: Option<&'static str>,
    /// The form of the value, and its range.
    pub kind: Kind,
    /// The heading under which help and documentation list it.
    pub group: Group,
    /// One line, with the unit; no full stop.
    pub help: &'static str,
    /// Never printed, in messages neither.
    pub secret: bool,
    /// SIGHUP applies a change; every other key needs a restart.
    pub reload: bool,
    /// Listed by `-h`; the others only by `--help`.
    pub common: bool,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text without control characters.
    Text,
    /// A [`NodeId`](super::NodeId).
    NodeId,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// off, error, warn, info, debug or trace.
    Level,
    /// The path of a file.
    File,
    /// The path of a directory.
    Directory,
    /// An `http://` or `https://` base.
    HttpUrl,
    /// An `mqtt://` or `mqtts://` URL.
    BrokerUrl,
    /// A decimal number of GB (2^30 bytes), from 0.01 to 100000, with at most three decimals.
    Gigabytes,
    /// True or false.
    Flag,
    /// A whole number.
    Whole {
        /// What is counted.
        unit: Unit,
        /// The least that is accepted.
        min: u64,
        /// The most that is accepted.
        max: u64,
    },
}

/// What a whole number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A TCP port.
    Port,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Megabytes of 2^20 bytes.
    Megabytes,
    /// WebAssembly pages of 64 KiB.
    Pages,
    /// Things.
    Count,
}

/// The headings of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The node itself.
    Node,
    /// The connection to the broker.
    Mqtt,
    /// The public door.
    Http,
    /// The management API, and who may do what at the public door.
    Management,
    /// Downloading and keeping artifacts.
    Artifacts,
    /// Running functions.
    Functions,
}

impl Group {
    /// The heading as printed.
    pub fn title(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Mqtt => "MQTT",
            Self::Http => "HTTP",
            Self::Management => "Management API",
            Self::Artifacts => "Artifacts",
            Self::Functions => "Functions",
        }
    }
}

impl Kind {
    /// The name of the value in usage lines: `PORT` in `--listen-port <PORT>`.
    pub fn value_name(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::NodeId => "ID",
            Self::IpAddress => "ADDRESS",
            Self::Level => "LEVEL",
            Self::File => "FILE",
            Self::Directory => "DIR",
            Self::HttpUrl | Self::BrokerUrl => "URL",
            Self::Gigabytes => "GB",
            Self::Flag => "true|false",
            Self::Whole { unit, .. } => match unit {
                Unit::Port => "PORT",
                Unit::Seconds => "SECONDS",
                Unit::Bytes => "BYTES",
                Unit::Megabytes => "MB",
                Unit::Pages => "PAGES",
                Unit::Count => "COUNT",
            },
        }
    }

    /// The range of a number, as text: `1 to 65535`.
    pub fn range(self) -> Option<String> {
        match self {
            Self::Gigabytes => Some("0.01 to 100000".to_owned()),
            Self::Whole { min, max, .. } => Some(format!("{min} to {max}")),
            _ => None,
        }
    }

    /// Whether the TOML file gives it as a number, without quotes.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Gigabytes | Self::Whole { .. })
    }

    /// Whether the TOML file gives it without quotes.
    pub(super) fn is_bare(self) -> bool {
        self.is_number() || self == Self::Flag
    }
}

impl Key {
    /// The environment variable: `MQTT_BROKER`.
    pub fn env_name(&self) -> String {
        self.name.to_uppercase()
    }

    /// The long flag without its dashes: `mqtt-broker`.
    pub fn flag_name(&self) -> String {
        self.name.replace('_', "-")
    }

    pub(super) const fn common(self) -> Self {
        Self { common: true, ..self }
    }

    pub(super) const fn reload(self) -> Self {
        Self { reload: true, ..self }
    }

    pub(super) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}
