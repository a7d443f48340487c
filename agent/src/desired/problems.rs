//! Reading a JSON document field by field, so that every problem in it is found, each with its path. serde stops at
//! the first.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};

/// How many problems are told; a hostile document may have millions.
const MAX_TOLD: usize = 20;

/// Everything wrong with a document, each as `path: what`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    told: Vec<String>,
    more: usize,
}

impl Problems {
    /// One problem alone.
    pub fn one(path: &str, what: impl fmt::Display) -> Self {
        let mut problems = Self::default();
        problems.add(path, what);
        problems
    }

    /// Adds a problem at a path; the empty path is the whole document.
    pub fn add(&mut self, path: &str, what: impl fmt::Display) {
        if self.told.len() == MAX_TOLD {
            self.more += 1;
        } else if path.is_empty() {
            self.told.push(what.to_string());
        } else {
            self.told.push(format!("{path}: {what}"));
        }
    }

    /// `value` if there is no problem.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.told.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("; "))?;
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for Problems {}

/// One JSON object being read. Each reader method names the key it takes; [`Object::end`] complains of all others.
pub struct Object<'a> {
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Begins with a value that must be an object.
    pub fn of(path: &str, value: &'a Value, problems: &mut Problems) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { path: path.to_owned(), map, known: Vec::new() }),
            other => {
                problems.add(path, format_args!("an object is wanted, not {}", kind(other)));
                None
            }
        }
    }

    /// The path of one of its keys.
    pub fn path(&self, key: &str) -> String {
        // A key from outside may be long or hold control characters.
        let key: String = key.chars().take(80).flat_map(char::escape_debug).collect();
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// A key's value; `null` counts as absent, as in a merge patch.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A key that must be there.
    pub fn required(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a Value> {
        let value = self.get(key);
        if value.is_none() {
            problems.add(&self.path(key), "is missing");
        }
        value
    }

    /// A whole number within a range, or the default where the key is absent.
    pub fn number<N: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: Option<N>,
        problems: &mut Problems,
    ) -> Option<N> {
        let value = match default {
            Some(default) => match self.get(key) {
                None => return Some(default),
                value => value,
            },
            None => self.required(key, problems),
        }?;
        let number = value.as_u64().filter(|n| range.contains(n)).and_then(|n| N::try_from(n).ok());
        if number.is_none() {
            let (low, high) = range.into_inner();
            problems.add(
                &self.path(key),
                format_args!("a whole number from {low} to {high} is wanted, not {}", kind(value)),
            );
        }
        number
    }

    /// A whole number of 32 bits, which may be negative; 0 where absent.
    pub fn integer(&mut self, key: &'static str, problems: &mut Problems) -> Option<i32> {
        let Some(value) = self.get(key) else { return Some(0) };
        let number = value.as_i64().and_then(|n| i32::try_from(n).ok());
        if number.is_none() {
            problems.add(&self.path(key), "a whole number of 32 bits is wanted");
        }
        number
    }

    /// A text.
    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a str> {
        let value = self.get(key)?;
        if !value.is_string() {
            problems.add(&self.path(key), format_args!("a string is wanted, not {}", kind(value)));
        }
        value.as_str()
    }

    /// A text that must be there and be a `T`.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<T> {
        self.required(key, problems)?;
        let text = self.text(key, problems)?;
        text.parse().map_err(|e| problems.add(&self.path(key), e)).ok()
    }

    /// True or false, false where absent.
    pub fn flag(&mut self, key: &'static str, problems: &mut Problems) -> bool {
        let Some(value) = self.get(key) else { return false };
        value.as_bool().unwrap_or_else(|| {
            problems.add(&self.path(key), format_args!("true or false is wanted, not {}", kind(value)));
            false
        })
    }

    /// A list of texts, empty where absent.
    pub fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<&'a str> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            problems.add(&self.path(key), format_args!("a list is wanted, not {}", kind(value)));
            return Vec::new();
        };
        let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
        if texts.len() < items.len() {
            problems.add(&self.path(key), "every item must be a string");
        }
        texts
    }

    /// The object under a key, if it is there.
    pub fn object(&mut self, key: &'static str, problems: &mut Problems) -> Option<Object<'a>> {
        let value = self.get(key)?;
        Object::of(&self.path(key), value, problems)
    }

    /// Every key and value; for objects whose keys are ids.
    pub fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.map.iter().filter(|(_, value)| !value.is_null())
    }

    /// Complains of the keys that nobody asked for.
    pub fn end(self, problems: &mut Problems) {
        for key in self.map.keys().filter(|key| !self.known.contains(&key.as_str())) {
            problems.add(&self.path(key), "is not a key that is known here");
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) if s.len() <= 40 => format!("{s:?}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
