//! Merges defaults, file, environment and flags into one text per key. It knows nothing of what the texts mean.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::key::{Key, Kind};
use super::keys::{KEYS, key};
use super::problems::{Problem, Source};
use super::url;

/// A broken file can have as many syntax errors as lines; past these, one line says how many more.
const SYNTAX_ERRORS_SHOWN: usize = 10;

/// What the layers above the defaults say. An empty value counts as not given, in every layer.
#[derive(Default)]
pub struct Layers {
    /// The TOML file.
    pub file: Option<FileText>,
    /// The environment, such as `std::env::vars_os().collect()`; variables that are no key of ours are ignored.
    pub env: Vec<(OsString, OsString)>,
    /// Key names (as in [`KEYS`]) and values from the command line.
    pub flags: Vec<(&'static str, String)>,
}

/// A TOML file that has been read.
pub struct FileText {
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its contents.
    pub text: String,
}

/// One key's merged text and where it came from.
#[derive(Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    /// `None` where no layer gives one and there is no default. Never empty.
    pub(super) text: Option<String>,
    pub(super) source: Source,
}

impl Setting {
    /// The text as it may be printed.
    pub(super) fn shown(&self) -> Option<String> {
        self.text.as_deref().map(|text| match self.key.kind {
            _ if self.key.secret => "***".to_owned(),
            Kind::BrokerUrl | Kind::HttpUrl => url::redact(text),
            _ => text.to_owned(),
        })
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} ({})", self.key.name, self.shown(), self.source)
    }
}

/// The merged layers, and what was wrong with them.
pub(super) struct Merged {
    /// One for each of [`KEYS`], in its order.
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<Problem>,
}

/// Merges: default < file < environment < flag.
pub(super) fn merge(layers: Layers) -> Merged {
    let default = |key: &'static Key| {
        let text = key.default.map(str::to_owned);
        Setting { key, text, source: Source::Default }
    };
    let mut merged = Merged { settings: KEYS.iter().map(default).collect(), problems: Vec::new() };
    if let Some(file) = layers.file {
        merged.file(&file);
    }
    merged.env(layers.env);
    for (name, text) in layers.flags {
        merged.set(name, text, Source::Flag);
    }
    merged
}

impl Merged {
    fn set(&mut self, name: &str, text: String, source: Source) {
        if text.is_empty() {
            return;
        }
        match self.settings.iter_mut().find(|setting| setting.key.name == name) {
            Some(setting) => {
                setting.text = Some(text);
                setting.source = source;
            }
            None => self.problem(name, source, unknown(name)),
        }
    }

    fn problem(&mut self, name: &str, source: Source, fault: String) {
        self.problems.push(Problem { key: Some(name.to_owned()), source, fault });
    }

    fn env(&mut self, env: Vec<(OsString, OsString)>) {
        for (variable, value) in env {
            let Some(key) = KEYS.iter().find(|key| variable == *key.env_name()) else { continue };
            match value.into_string() {
                Ok(text) => self.set(key.name, text, Source::Environment),
                Err(_) => self.problem(key.name, Source::Environment, "is not UTF-8".to_owned()),
            }
        }
    }

    fn file(&mut self, file: &FileText) {
        let source = |offset: usize| Source::File { path: file.path.clone(), line: line(&file.text, offset) };
        let (table, errors) = DeTable::parse_recoverable(&file.text);
        for error in errors.iter().take(SYNTAX_ERRORS_SHOWN) {
            // Not the error's Display: it quotes the line, which may hold a secret.
            let source = source(error.span().map_or(0, |span| span.start));
            let fault = format!("is not TOML: {}", error.message().replace('\n', " "));
            self.problems.push(Problem { key: None, source, fault });
        }
        if let Some(more) = errors.len().checked_sub(SYNTAX_ERRORS_SHOWN).filter(|more| *more > 0) {
            let fault = format!("and {more} more errors of syntax");
            self.problems.push(Problem { key: None, source: source(file.text.len()), fault });
        }
        if !errors.is_empty() {
            return;
        }
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let (source, name) = (source(name.span().start), name.get_ref().as_ref());
            let Some(key) = key(name) else {
                let fault = if value.get_ref().is_table() { flat(name) } else { unknown(name) };
                self.problem(name, source, fault);
                continue;
            };
            match file_text(key, value.get_ref()) {
                Ok(text) => self.set(name, text, source),
                Err(fault) => self.problem(name, source, fault),
            }
        }
    }
}

/// The value as the text that environment or flag would give.
fn file_text(key: &Key, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) if !key.kind.is_bare() => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if key.kind.is_number() => {
            let digits = i64::from_str_radix(number.as_str(), number.radix());
            Ok(digits.map_or_else(|_| number.to_string(), |digits| digits.to_string()))
        }
        DeValue::Float(number) if key.kind == Kind::Gigabytes => Ok(number.as_str().to_owned()),
        DeValue::Boolean(flag) if key.kind == Kind::Flag => Ok(flag.to_string()),
        _ => {
            let expected = match key.kind {
                Kind::Gigabytes => "a number, without quotes,",
                Kind::Flag => "true or false, without quotes,",
                kind if kind.is_number() => "a whole number, without quotes,",
                _ => "a string in quotes",
            };
            Err(format!("has the TOML type {}; {expected} is expected", value.type_str()))
        }
    }
}

/// The line of a byte offset, from 1.
pub(super) fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn flat(table: &str) -> String {
    let prefix = format!("{}_", table.to_lowercase());
    match KEYS.iter().find(|key| key.name.starts_with(&prefix)) {
        Some(key) => format!("is a table, but the file is flat: write `{} = …` and the like", key.name),
        None => "is a table, but the file is flat, and no key has this name".to_owned(),
    }
}

fn unknown(name: &str) -> String {
    let wanted = name.to_lowercase().replace('-', "_");
    let distance = |key: &&Key| edit_distance(&wanted, key.name);
    match KEYS.iter().min_by_key(distance).filter(|key| distance(key) <= 1 + key.name.len() / 5) {
        Some(key) => format!("is not a key; did you mean `{}`?", key.name),
        None => "is not a key".to_owned(),
    }
}

/// Levenshtein's distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (index, from) in a.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((to, above_left), above) in b.chars().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(index);
            next.push((above_left + usize::from(from != to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_problems(text: &str) -> Vec<String> {
        let file = FileText { path: "t.toml".into(), text: text.to_owned() };
        let layers = Layers { file: Some(file), ..Layers::default() };
        merge(layers).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_fault_of_the_file_is_named_with_its_line() {
        let found = file_problems(
            "mqtt_brokr = 'mqtt://x'\nlisten_port = '3000'\nMAX-WORKERS = 4\npop_id = 7\n\n[mqtt]\nbroker = 1\n[zzz]\n",
        );
        assert_eq!(
            found,
            [
                "mqtt_brokr (t.toml, line 1): is not a key; did you mean `mqtt_broker`?",
                "listen_port (t.toml, line 2): has the TOML type string; a whole number, without quotes, is expected",
                "MAX-WORKERS (t.toml, line 3): is not a key; did you mean `max_workers`?",
                "pop_id (t.toml, line 4): has the TOML type integer; a string in quotes is expected",
                "mqtt (t.toml, line 6): is a table, but the file is flat: write `mqtt_broker = …` and the like",
                "zzz (t.toml, line 8): is a table, but the file is flat, and no key has this name",
            ]
        );
    }

    #[test]
    fn broken_syntax_names_the_line_but_never_quotes_it() {
        for text in ["pop_id = 'x'\nmqtt_password = 'hunter2", "pop_id = 'x'\nmqtt_password = hunter2\n"] {
            let found = file_problems(text);
            assert!(found[0].starts_with("t.toml, line 2: is not TOML: "), "{found:?}");
            assert!(!found.concat().contains("hunter2"), "{found:?}");
        }
        let duplicate = file_problems("pop_id = 'a'\npop_id = 'b'\n");
        assert!(duplicate[0].starts_with("t.toml, line 2: "), "{duplicate:?}");
        assert_eq!(file_problems(&"= =\n".repeat(500)).len(), SYNTAX_ERRORS_SHOWN + 1);
    }

    #[test]
    fn edit_distance_counts_changes() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", ""), 3);
    }
}
