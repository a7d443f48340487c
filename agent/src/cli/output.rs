//! What a command says: results to standard output, everything else to standard error. Colour and cut lines are for
//! terminals alone; what is piped is plain and whole. Texts that came from elsewhere can not steer the terminal.

use std::io::{self, IsTerminal, Write};

use clap::{Arg, ArgAction, ArgMatches};
use serde_json::Value;

/// Whoever read standard output has gone, as `| head` does. No fault, and nothing is left to say.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct Closed;

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// Headers and names.
    Bold,
    /// What is beside the point.
    Dim,
    /// As it should be.
    Good,
    /// On its way, or worth a look.
    Warn,
    /// Not as it should be.
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// A piece of text and how it looks; control characters in it are escaped where it is written.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) style: Style,
    pub(super) text: String,
}

/// A piece of text that looks like this.
pub(super) fn span(style: Style, text: impl Into<String>) -> Span {
    Span { style, text: text.into() }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        span(Style::Plain, text)
    }
}

impl From<String> for Span {
    fn from(text: String) -> Self {
        span(Style::Plain, text)
    }
}

/// Standard output, as this run of the program writes to it.
pub(super) struct Output {
    /// Whether `--json` was given: one JSON value, and nothing else, goes to standard output.
    pub(super) json: bool,
    /// Whether people look at it.
    pub(super) terminal: bool,
    colour: bool,
    utf8: bool,
    width: Option<usize>,
}

/// The flag `--json`, which [`Output::of`] looks for.
pub(super) fn json_flag() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON, for scripts")
}

impl Output {
    /// For a command with or without `--json`.
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let terminal = io::stdout().is_terminal();
        let json = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or_default();
        let plain = variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|term| term == "dumb");
        let width = if terminal { terminal_width() } else { None };
        Self { json, terminal, colour: terminal && !plain, utf8: speaks_utf8(), width }
    }

    /// Characters that a line may have; none where nobody cares.
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    /// One of two spellings of a mark, for terminals that know only ASCII.
    pub(super) fn mark(&self, utf8: &'static str, ascii: &'static str) -> &'static str {
        if self.utf8 { utf8 } else { ascii }
    }

    /// Writes one line.
    pub(super) fn line(&self, spans: &[Span]) -> anyhow::Result<()> {
        let mut line = String::new();
        for Span { style, text } in spans {
            let code = if self.colour { style.code() } else { "" };
            line.push_str(code);
            line.push_str(&clean(text));
            if !code.is_empty() {
                line.push_str("\x1b[0m");
            }
        }
        line.push('\n');
        self.raw(line.as_bytes())
    }

    /// Writes one plain line.
    pub(super) fn text(&self, text: &str) -> anyhow::Result<()> {
        self.line(&[text.into()])
    }

    /// Writes JSON over several lines.
    pub(super) fn json(&self, value: &Value) -> anyhow::Result<()> {
        self.raw(format!("{}\n", clean_json(&format!("{value:#}"))).as_bytes())
    }

    /// Writes JSON on one line, where one value follows the other.
    pub(super) fn json_line(&self, value: &Value) -> anyhow::Result<()> {
        self.raw(format!("{}\n", clean_json(&value.to_string())).as_bytes())
    }

    /// Writes text of several lines that came from elsewhere: as it is to a pipe, with its control characters escaped to
    /// a terminal.
    pub(super) fn verbatim(&self, text: &str) -> anyhow::Result<()> {
        if self.terminal { self.raw(clean_lines(text).as_bytes()) } else { self.raw(text.as_bytes()) }
    }

    /// Writes bytes as they are.
    pub(super) fn raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
            result => Ok(result?),
        }
    }
}

/// JSON that says the same and steers no terminal: what serde leaves as it is stands only within strings.
fn clean_json(text: &str) -> String {
    let steers = |c: char| is_steering(c) && c != '\n';
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            code if steers(c) => clean.push_str(&format!("\\u{code:04x}")),
            _ => clean.push(c),
        }
    }
    clean
}

/// Writes one line to standard error. Nobody is left to tell where that is closed.
pub(super) fn note(text: &str) {
    writeln!(io::stderr(), "{}", clean_lines(text)).ok();
}

/// What long work is at, on standard error: one line that changes on a terminal, else one line for each change.
pub(super) struct Progress {
    terminal: bool,
    shown: String,
}

impl Progress {
    /// Nothing shown yet.
    pub(super) fn new() -> Self {
        let plain = variable("TERM").is_some_and(|term| term == "dumb");
        Self { terminal: io::stderr().is_terminal() && !plain, shown: String::new() }
    }

    /// Shows what the work is at now.
    pub(super) fn show(&mut self, text: &str) {
        if self.shown == text {
            return;
        }
        text.clone_into(&mut self.shown);
        let text = clean(text);
        let (begin, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Progress that can not be seen is none.
        write!(io::stderr(), "{begin}{text}{end}").ok();
    }

    /// Takes the line away again.
    pub(super) fn clear(&mut self) {
        if self.terminal && !self.shown.is_empty() {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
        self.shown.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Text with its control characters escaped, those that turn the direction of writing included.
pub(super) fn clean(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for text of several lines.
pub(super) fn clean_lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// Whether a terminal would do something else than show it: obey it, or turn the direction of writing.
fn is_steering(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_steering(c) && !keep(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the locale's characters are UTF-8's.
fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn terminal_width() -> Option<usize> {
    let given = variable("COLUMNS").and_then(|text| text.parse().ok());
    given
        .or_else(|| {
            let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
            // SAFETY: TIOCGWINSZ writes one `winsize`, and `size` is one.
            let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
            (done == 0).then(|| usize::from(size.ws_col))
        })
        .filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_elsewhere_can_not_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\r\n\u{9b}\u{202e}ü✓"), "a\\u{1b}[31mb\\r\\n\\u{9b}\\u{202e}ü✓");
        assert_eq!(clean_lines("a\tb\nc\x07"), "a\tb\nc\\u{7}");
    }
}
