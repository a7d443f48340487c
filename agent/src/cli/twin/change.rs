//! `twin set` and `twin patch`: publishes a whole desired state, and notices who does so at the same moment.
//!
//! The broker orders all messages of a topic, for the node as for us, and a node takes a document only where its version
//! is above that of the one which stands. So what comes back to us says what stands at the node. Where that is not ours,
//! ours is made once more, on top of what stands. Each time at least one of those who publish gets through.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::ArgMatches;
use serde_json::{Value, json};

use super::broker::{PATIENCE, Place};
use super::document::{problems, read, set_version, version};
use super::dry_run;
use super::outcome::{self, Outcome};
use crate::cli::output::{Output, Style, note, span};
use crate::desired::{is_dry_run, merge};
use crate::mqtt::{Heard, Operator, Retained, Said};

/// How often a change is published anew for another's in between.
const ATTEMPTS: usize = 5;
/// How long the broker has to hand a document back that it has acknowledged.
const ECHO: Duration = Duration::from_secs(5);

/// What is to become of the document that stands.
enum Edit {
    /// It is replaced; a `$version` that the new one has is kept.
    Replace(Value),
    /// It is merged with this.
    Merge(Value),
}

impl Edit {
    /// Whether it names a `$version` of its own.
    fn has_version(&self) -> bool {
        matches!(self, Self::Replace(document) if document.get("$version").is_some())
    }

    /// Whether it asks by itself only what would become of it.
    fn is_dry_run(&self) -> bool {
        match self {
            Self::Replace(document) | Self::Merge(document) => is_dry_run(document),
        }
    }
}

pub(super) fn set(place: &Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let document = read(named(matches), false)?;
    change(place, matches, &Edit::Replace(document))
}

pub(super) fn patch(place: &Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let patch = read(named(matches), true)?;
    if patch.get("$version").is_some() {
        bail!("leave `$version` out of the patch: it is counted on from what the broker keeps");
    }
    change(place, matches, &Edit::Merge(patch))
}

fn named(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("document").map_or("-", String::as_str)
}

fn change(place: &Place, matches: &ArgMatches, edit: &Edit) -> anyhow::Result<ExitCode> {
    let force = matches.get_flag("force");
    // What is wrong with a document of its own is known without a broker.
    if let Edit::Replace(document) = edit {
        let mut document = document.clone();
        if document.get("$version").is_none() {
            set_version(&mut document, 1);
        }
        refuse(&document, force)?;
    }
    let mut operator = place.connect()?;
    let kept = operator.retained(Instant::now() + PATIENCE)?;
    let wait = matches.get_one::<u32>("wait").map_or(0, |seconds| u64::from(*seconds));
    if matches.get_flag("dry-run") || edit.is_dry_run() {
        let document = edited(place, edit, &Standing::of(&kept), force)?;
        return dry_run::ask(&mut operator, document, &kept, &Output::of(matches), wait);
    }
    let mut later = Vec::new();
    let document = publish(place, &mut operator, edit, Standing::of(&kept), force, &mut later)?;
    let outcome = match wait {
        0 => Outcome::unknown(version(&document)),
        _ => outcome::wait(&mut operator, &document, &kept, later, Duration::from_secs(wait))?,
    };
    tell(&Output::of(matches), &outcome, wait)
}

/// What stands at the node, as far as the broker's order of messages says.
struct Standing {
    document: Option<Value>,
    /// The version above which the node takes a document.
    version: u64,
}

impl Standing {
    fn of(kept: &Retained) -> Self {
        let json = |bytes: &Option<Vec<u8>>| {
            bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
        };
        let document = json(&kept.desired).filter(|kept| kept.is_object() && !is_dry_run(kept));
        if kept.desired.is_some() && document.is_none() {
            note(
                "twinlet twin: what the broker keeps as desired state is a dry run, or no JSON object; it is replaced",
            );
        }
        let reported = json(&kept.reported);
        let applied = reported.as_ref().and_then(|r| r.get("lastDesiredVersion")?.as_u64()).unwrap_or(0);
        let version = document.as_ref().map_or(0, version).max(applied);
        Self { document, version }
    }

    /// Takes in the next document on the topic.
    fn hear(&mut self, payload: &[u8]) {
        let Ok(document) = serde_json::from_slice::<Value>(payload) else { return };
        if version(&document) > self.version && !is_dry_run(&document) {
            self.version = version(&document);
            self.document = Some(document);
        }
    }
}

/// Publishes until ours stands. `later` gets what else was heard meanwhile.
fn publish(
    place: &Place,
    operator: &mut Operator,
    edit: &Edit,
    mut standing: Standing,
    force: bool,
    later: &mut Vec<Heard>,
) -> anyhow::Result<Value> {
    for _ in 0..ATTEMPTS {
        let document = edited(place, edit, &standing, force)?;
        let bytes = document.to_string().into_bytes();
        // What was not above the rest from the start was asked for so, and the node has its answer to that.
        let can_stand = version(&document) > standing.version;
        operator.publish_desired(bytes.clone(), Instant::now() + PATIENCE)?;
        if !echo(operator, &bytes, &mut standing, later)? {
            let why = "the broker has taken it, but does not hand it back; may this user write and read it?";
            note(&format!("twinlet twin: {why}"));
            return Ok(document);
        }
        if !can_stand || standing.document.as_ref() == Some(&document) {
            return Ok(document);
        }
        let told = format!("another operator has published version {} at the same moment", standing.version);
        if edit.has_version() {
            bail!("{told}; look at `twinlet twin get`, and set it again with a higher version");
        }
        note(&format!("twinlet twin: {told}; once more, on top of it"));
    }
    bail!("others kept publishing at the same moment, {ATTEMPTS} times in a row; try again")
}

/// The document to publish.
fn edited(place: &Place, edit: &Edit, standing: &Standing, force: bool) -> anyhow::Result<Value> {
    let (mut document, highest) = match (edit, &standing.document) {
        (Edit::Replace(document), _) => (document.clone(), standing.version),
        (Edit::Merge(patch), Some(base)) => {
            let mut document = base.clone();
            merge(&mut document, patch);
            (document, standing.version)
        }
        (Edit::Merge(_), None) => {
            let (broker, node) = (place.broker(), &place.node);
            bail!(
                "{broker} keeps no desired state of node {node}, so there is nothing to patch; use `twin set`"
            )
        }
    };
    let other = || standing.document.as_ref().is_some_and(|stands| *stands != document);
    let ours = version(&document);
    if !edit.has_version() {
        set_version(&mut document, highest.saturating_add(1));
    } else if !force && (ours < highest || (ours == highest && other())) {
        let why = format!(
            "`$version` is {ours}, but {highest} is known already, and a node takes only what is newer"
        );
        bail!("{why}; nothing was sent (--force sends it)");
    }
    refuse(&document, force)?;
    Ok(document)
}

fn refuse(document: &Value, force: bool) -> anyhow::Result<()> {
    let found = problems(document);
    if found.is_empty() {
        return Ok(());
    }
    if force {
        note(&format!("twinlet twin: not valid here, and sent all the same: {}", found.join("; ")));
        return Ok(());
    }
    bail!("not valid, so nothing was sent: {}", found.join("; "))
}

/// Waits until the broker hands our document back, and takes in those that come before it. False where it does not.
fn echo(
    operator: &mut Operator,
    ours: &[u8],
    standing: &mut Standing,
    later: &mut Vec<Heard>,
) -> anyhow::Result<bool> {
    let until = Instant::now() + ECHO;
    while let Some(heard) = operator.next(Some(until))? {
        if heard.said != Said::Desired {
            later.push(heard);
            continue;
        }
        standing.hear(&heard.payload);
        if heard.payload == ours {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tell(output: &Output, outcome: &Outcome, wait: u64) -> anyhow::Result<ExitCode> {
    let good = outcome.code.is_none_or(|code| code == 200) && (wait == 0 || outcome.code.is_some());
    if output.json {
        let Outcome { version, code, description, functions, online } = outcome;
        output.json(&json!({ "version": version, "code": code, "description": description,
                             "functions": functions, "status": online }))?;
    } else {
        let style = if good { Style::Good } else { Style::Bad };
        output
            .line(&[format!("version {}: ", outcome.version).into(), span(style, outcome.in_words(wait))])?;
        for line in outcome.functions_in_words() {
            output.text(&format!("  {line}"))?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_the_first_of_each_version() {
        let mut standing = Standing { document: None, version: 1 };
        for (payload, version) in [
            (json!({ "$version": 1, "a": 0 }), 1),
            (json!({ "$version": 3, "b": 0 }), 3),
            (json!({ "$version": 3, "c": 0 }), 3),
            (json!({ "$version": 2, "d": 0 }), 3),
        ] {
            standing.hear(payload.to_string().as_bytes());
            assert_eq!(standing.version, version, "{payload}");
        }
        standing.hear(b"not JSON");
        standing.hear(br#"{ "$version": 9, "dryRun": true }"#);
        assert_eq!(standing.document, Some(json!({ "$version": 3, "b": 0 })));
    }
}
