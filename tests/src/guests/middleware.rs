//! Middleware: at the points of one's choice, it always does the same.

use super::actors::Break;
use super::encode::{component, data, wat};

/// Where a middleware is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// `on-request`
    Request,
    /// `on-response`
    Response,
    /// `on-error`
    Error,
}

/// A modification that is being made up; it changes nothing at first.
#[derive(Debug, Clone, Default)]
pub struct Modify {
    status: Option<u16>,
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
    remove: Vec<String>,
    body: Option<String>,
}

impl Modify {
    /// Another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// A header that replaces all of its name.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header beside those of its name.
    #[must_use]
    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.add.push((name.to_owned(), value.to_owned()));
        self
    }

    /// No header of this name.
    #[must_use]
    pub fn remove(mut self, name: &str) -> Self {
        self.remove.push(name.to_owned());
        self
    }

    /// Another body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// A component that says so at each of these points.
    pub fn at(&self, points: &[Point]) -> Vec<u8> {
        says(points, &self.bytes())
    }

    /// `modify` of the canonical ABI, as it lies at [`AT`]: the record's fields, then what they point to.
    fn bytes(&self) -> Vec<u8> {
        let mut memory = Memory(vec![0; 44]);
        memory.put(0, 2);
        if let Some(status) = self.status {
            memory.put(4, 1);
            memory.0[6..8].copy_from_slice(&status.to_le_bytes());
        }
        for (field, headers) in [(8, &self.set), (16, &self.add)] {
            let list: Vec<&str> = headers.iter().flat_map(|(name, value)| [name.as_str(), value]).collect();
            memory.list(field, &list, headers.len());
        }
        let names: Vec<&str> = self.remove.iter().map(String::as_str).collect();
        memory.list(24, &names, names.len());
        if let Some(body) = &self.body {
            memory.put(32, 1);
            memory.text(36, body);
        }
        memory.0
    }
}

/// Where an action lies in the fixture's memory.
const AT: usize = 1024;

/// Bytes that lie at [`AT`], and point to each other.
struct Memory(Vec<u8>);

impl Memory {
    fn put(&mut self, field: usize, number: usize) {
        self.0[field..field + 4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    }

    /// A pointer and a length, to a text that is appended.
    fn text(&mut self, field: usize, text: &str) {
        self.put(field, AT + self.0.len());
        self.put(field + 4, text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A pointer and a length, to a list that is appended: of `count` elements that are so many texts together.
    fn list(&mut self, field: usize, texts: &[&str], count: usize) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let start = self.0.len();
        self.put(field, AT + start);
        self.put(field + 4, count);
        self.0.resize(start + 8 * texts.len(), 0);
        for (index, text) in texts.iter().enumerate() {
            self.text(start + 8 * index, text);
        }
    }
}

/// Says `continue`.
pub fn continues(points: &[Point]) -> Vec<u8> {
    says(points, &[0; 44])
}

/// Says `reject` with this status.
pub fn rejects(points: &[Point], status: u16) -> Vec<u8> {
    let mut bytes = vec![0; 44];
    bytes[0] = 1;
    bytes[4..6].copy_from_slice(&status.to_le_bytes());
    says(points, &bytes)
}

/// Traps, or never comes back.
pub fn breaks(points: &[Point], how: Break) -> Vec<u8> {
    component(&at(points, how.wat()))
}

/// At all three points sets headers that say what it was shown: of a request `seen-method`, `-path`, `-query`, `-host`,
/// `-id`, `-params` (how many) and `-bytes` (of its body); of a response `seen-status` and `seen-bytes`; of a failure
/// `seen-id`, `-method`, `-path`, `-status`, `-kind` and `-message`.
pub fn shows() -> Vec<u8> {
    component(wat!("middleware/shows"))
}

fn says(points: &[Point], action: &[u8]) -> Vec<u8> {
    assert!(action.len() < 3000, "does not fit the fixture's data");
    let constant = wat!("middleware/acts").replace("@ACTION@", &data(action));
    component(&(constant + &at(points, &format!("(i32.const {AT})"))))
}

fn at(points: &[Point], does: &str) -> String {
    let export = |point: &Point| match point {
        Point::Request => wat!("middleware/on-request"),
        Point::Response => wat!("middleware/on-response"),
        Point::Error => wat!("middleware/on-error"),
    };
    points.iter().map(export).collect::<String>().replace("@DOES@", does)
}
