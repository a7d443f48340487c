//! What is wrong with a configuration, and where each value came from. It knows nothing of what the keys mean.

use std::fmt;
use std::path::PathBuf;

/// The layer that a value came from, weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table of keys.
    Default,
    /// The TOML file.
    File {
        /// Path of the file, as it was named to us.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment,
    /// A command-line flag.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

impl Source {
    /// The name under which this layer knows the key `name`: `mqtt_broker`, `MQTT_BROKER` or `--mqtt-broker`.
    fn spelling(&self, name: &str) -> String {
        match self {
            Self::Default | Self::File { .. } => name.to_owned(),
            Self::Environment => name.to_uppercase(),
            Self::Flag => format!("--{}", name.replace('_', "-")),
        }
    }
}

/// One thing that is wrong: which key, in which layer, and what. Prints as one line, secrets redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key's name in lower case; `None` where the file's syntax is broken, so that no key is known.
    pub key: Option<String>,
    /// Where the value came from.
    pub source: Source,
    /// The fault, as the rest of a sentence.
    pub fault: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} ({}): {}", self.source.spelling(key), self.source, self.fault),
            None => write!(f, "{}: {}", self.source, self.fault),
        }
    }
}

/// Everything that is wrong with a configuration; never empty. Prints one problem per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` where nothing is wrong.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems: the file's, the environment's and the flags' own first, then the values' in the table's order.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration has a problem:\n  {one}"),
            many => {
                write!(f, "the configuration has {} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
