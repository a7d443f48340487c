//! `twin set` and `twin patch`: publishes a whole desired state, and notices who does so at the same moment.
//!
//! The broker orders all messages of a topic, for the node as for us. So the document that comes back to us first after
//! ours was sent is the one that the node gets first. Where that is another's, the node may have refused ours as a
//! second meaning of one version, and ours is published once more, with a version above theirs.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::ArgMatches;
use serde_json::{Value, json};

use super::broker::{PATIENCE, Place};
use super::document::{problems, read, set_version, version};
use super::outcome::{self, Outcome};
use crate::cli::output::{Output, Style, note, span};
use crate::desired::merge;
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
    let before = Before::of(&kept)?;
    let mut later = Vec::new();
    let document = publish(place, &mut operator, edit, &before, force, &mut later)?;
    let wait = matches.get_one::<u32>("wait").map_or(0, |seconds| u64::from(*seconds));
    let outcome = match wait {
        0 => Outcome::unknown(version(&document)),
        _ => outcome::wait(&mut operator, &document, &kept, later, Duration::from_secs(wait))?,
    };
    tell(&Output::of(matches), &outcome, wait)
}

/// What stands before the change.
struct Before {
    document: Option<Value>,
    /// The highest version that the broker or the node knows of.
    version: u64,
}

impl Before {
    fn of(kept: &Retained) -> anyhow::Result<Self> {
        let json =
            |bytes: &Option<Vec<u8>>| bytes.as_deref().and_then(|b| serde_json::from_slice::<Value>(b).ok());
        let document = json(&kept.desired);
        if kept.desired.is_some() && !document.as_ref().is_some_and(Value::is_object) {
            note(
                "twinlet twin: the desired state that the broker keeps is not a JSON object; it is replaced",
            );
        }
        let reported = json(&kept.reported);
        let applied = reported.as_ref().and_then(|r| r.get("lastDesiredVersion")?.as_u64()).unwrap_or(0);
        let version = document.as_ref().map_or(0, version).max(applied);
        Ok(Self { document: document.filter(Value::is_object), version })
    }
}

/// Publishes until the broker has ours after all others of this moment. `later` gets what else was heard meanwhile.
fn publish(
    place: &Place,
    operator: &mut Operator,
    edit: &Edit,
    before: &Before,
    force: bool,
    later: &mut Vec<Heard>,
) -> anyhow::Result<Value> {
    let (mut base, mut highest) = (before.document.clone(), before.version);
    for _ in 0..ATTEMPTS {
        let document = edited(place, edit, base.as_ref(), highest, force)?;
        let bytes = document.to_string().into_bytes();
        operator.publish_desired(bytes.clone(), Instant::now() + PATIENCE)?;
        match echo(operator, &bytes, later)? {
            Echo::Ours => return Ok(document),
            Echo::None => {
                note(
                    "twinlet twin: the broker has taken it, but does not hand it back; may this user read and write the topic?",
                );
                return Ok(document);
            }
            Echo::Other(other) => {
                let told =
                    format!("another operator has published version {} at the same moment", version(&other));
                if matches!(edit, Edit::Replace(document) if document.get("$version").is_some()) {
                    bail!("{told}; look at `twinlet twin get`, and set it again with a higher version");
                }
                note(&format!("twinlet twin: {told}; once more, on top of it"));
                highest = highest.max(version(&other)).max(version(&document));
                base = Some(other);
            }
        }
    }
    bail!("others kept publishing at the same moment, {ATTEMPTS} times in a row; try again")
}

/// The document to publish.
fn edited(
    place: &Place,
    edit: &Edit,
    base: Option<&Value>,
    highest: u64,
    force: bool,
) -> anyhow::Result<Value> {
    let mut document = match (edit, base) {
        (Edit::Replace(document), _) => document.clone(),
        (Edit::Merge(patch), Some(base)) => {
            let mut document = base.clone();
            merge(&mut document, patch);
            document
        }
        (Edit::Merge(_), None) => {
            bail!(
                "{} keeps no desired state of node {}, so there is nothing to patch; use `twin set`",
                place.broker(),
                place.node
            )
        }
    };
    let own = matches!(edit, Edit::Replace(document) if document.get("$version").is_some());
    if !own {
        set_version(&mut document, highest.saturating_add(1));
    } else if version(&document) < highest && !force {
        let ours = version(&document);
        bail!(
            "`$version` is {ours}, but {highest} is known already, and a node ignores what is older; nothing was sent (--force sends it)"
        );
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

/// What the broker handed back first.
enum Echo {
    Ours,
    Other(Value),
    None,
}

fn echo(operator: &mut Operator, ours: &[u8], later: &mut Vec<Heard>) -> anyhow::Result<Echo> {
    let until = Instant::now() + ECHO;
    let mut other = None;
    while let Some(heard) = operator.next(Some(until))? {
        if heard.said != Said::Desired {
            later.push(heard);
        } else if heard.payload == ours {
            return Ok(other.map_or(Echo::Ours, Echo::Other));
        } else {
            other = serde_json::from_slice(&heard.payload).ok().filter(Value::is_object).or(other);
        }
    }
    Ok(Echo::None)
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
