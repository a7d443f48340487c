//! Why a function is as it is: the causal chain from what was asked for to what serves, in words. Pure.

use super::facts::{Artifact, Facts};
use crate::desired::Origin;
use crate::fetch::shown;
use crate::hub::Connection;
use crate::status::{FunctionStatus, Phase};

/// One link of the chain.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) detail: String,
}

/// How a link holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Wait,
    Bad,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wait => "wait",
            Self::Bad => "bad",
        }
    }
}

/// The conclusion, and the chain that leads to it, in the order of cause and effect.
pub(super) fn explain(facts: &Facts) -> (String, Vec<Step>) {
    let mut steps = vec![hub(facts), wanted(facts)];
    if facts.desired.functions.contains_key(&facts.id) {
        steps.extend([artifact(facts), compiled(facts), started(facts)]);
        steps.extend(serving(facts));
        steps.push(routed(facts));
        steps.extend(guarded(facts));
        steps.extend(invoked(facts));
    }
    (conclusion(facts, &steps), steps)
}

fn step(name: &'static str, state: State, detail: impl Into<String>) -> Step {
    Step { name, state, detail: detail.into() }
}

fn hub(facts: &Facts) -> Step {
    let said = &facts.desired_status;
    let refused = matches!(said.code, 400 | 409);
    match &facts.connection {
        _ if refused => {
            let detail = format!("the last message was refused ({}): {}", said.code, said.description);
            step("hub", State::Bad, detail)
        }
        Connection::Up { .. } => step("hub", State::Ok, format!("connected; {}", twin(facts))),
        Connection::Down { error } => {
            let why = error.as_deref().unwrap_or("not connected yet");
            step("hub", State::Wait, format!("not connected ({why}); {}", twin(facts)))
        }
    }
}

fn twin(facts: &Facts) -> String {
    match facts.twin_version {
        0 => "no twin document has come yet".to_owned(),
        version => format!("twin document version {version} stands"),
    }
}

fn wanted(facts: &Facts) -> Step {
    if let Some(why) = facts.desired.misfits.get(&facts.id) {
        return step(
            "wanted",
            State::Bad,
            format!("it stands, but this device's configuration does not admit it: {why}"),
        );
    }
    let Some(spec) = facts.desired.functions.get(&facts.id) else {
        let what = match facts.status {
            Some(_) => "no longer wanted by anyone; it goes as soon as nothing needs it",
            None => "nobody asks for it, unless the message did that was refused",
        };
        return step("wanted", State::Bad, what);
    };
    let by = match facts.desired.origins.get(&facts.id) {
        Some(Origin::Twin) => format!("the hub's twin document, version {}", facts.twin_version),
        Some(Origin::Deployment) => "a deployment message of the hub".to_owned(),
        Some(Origin::Api) | None => "the management API of this device".to_owned(),
    };
    let signed = match facts.desired.signed.contains(&facts.id) {
        true => ", signed by a trusted key",
        false => "",
    };
    step("wanted", State::Ok, format!("version {} by {by}{signed}", spec.version))
}

fn artifact(facts: &Facts) -> Step {
    let Some(spec) = facts.desired.functions.get(&facts.id) else {
        return step("artifact", State::Bad, "none");
    };
    let sha: String = spec.sha256.to_string().chars().take(12).collect();
    match facts.artifact {
        Artifact::Missing => {
            if failed_in(facts, &["fetching", "verifying"]) {
                let detail = format!("{sha}… is not on the device; {}", last_error(facts));
                return step("artifact", State::Bad, detail);
            }
            let from = shown(&spec.artifact_url);
            step("artifact", State::Wait, format!("{sha}… is not on the device yet; it comes from {from}"))
        }
        _ => step("artifact", State::Ok, format!("{sha}… is on the device")),
    }
}

fn compiled(facts: &Facts) -> Step {
    match facts.artifact {
        Artifact::Compiled => step("compiled", State::Ok, "for this device"),
        _ if failed_in(facts, &["compiling"]) => step("compiled", State::Bad, last_error(facts)),
        _ => step("compiled", State::Wait, "not yet"),
    }
}

fn started(facts: &Facts) -> Step {
    let Some(status) = &facts.status else { return step("started", State::Wait, "not begun") };
    match status.phase {
        Phase::Running => {
            let instances = match facts.instances {
                1 => "one instance".to_owned(),
                n => format!("{n} instances"),
            };
            step("started", State::Ok, format!("version {} runs, {instances}", status.version))
        }
        Phase::Backoff => {
            let next = facts.next_try_secs.map_or_else(
                || "it is tried again by itself".to_owned(),
                |secs| format!("next try in {secs} s"),
            );
            let times = match status.restart_count.saturating_add(1) {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            };
            step("started", State::Bad, format!("failed {times}, {next}: {}", last_error(facts)))
        }
        Phase::Failed => step(
            "started",
            State::Bad,
            format!("failed, and not tried again until it changes: {}", last_error(facts)),
        ),
        _ if status.held => step("started", State::Bad, last_error(facts)),
        phase => step("started", State::Wait, format!("now {}", phase.as_str())),
    }
}

/// Where another version than the wanted one serves.
fn serving(facts: &Facts) -> Option<Step> {
    let status = facts.status.as_ref()?;
    match status.serving_version {
        Some(version) if version != status.version => Some(step(
            "serving",
            State::Wait,
            format!("version {version} goes on serving until {} is ready", status.version),
        )),
        Some(_) => None,
        None => Some(step("serving", State::Bad, "no version serves; its routes answer 503")),
    }
}

fn routed(facts: &Facts) -> Step {
    let routes = facts.routes();
    let attached = facts.desired.middleware.values().any(|spec| spec.function_id == facts.id);
    if !routes.is_empty() && !facts.exports_answerer {
        let detail = format!("it exports nothing that answers the requests of {}", routes.join("; "));
        return step("routes", State::Bad, detail);
    }
    if !facts.shadowed.is_empty() {
        return step("routes", State::Bad, facts.shadowed.join("; "));
    }
    match (routes.is_empty(), attached) {
        (false, _) => step("routes", State::Ok, routes.join("; ")),
        (true, true) => step("routes", State::Ok, "none; it is attached as middleware"),
        (true, false) => {
            step("routes", State::Ok, "none lead to it; it can be invoked, or messaged by functions")
        }
    }
}

fn guarded(facts: &Facts) -> Option<Step> {
    if facts.guards.is_empty() {
        return None;
    }
    let named = |ready: bool, open: bool| {
        let those = facts.guards.iter().filter(|guard| guard.ready == ready && guard.open == open);
        those.map(|guard| guard.id.as_str()).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&str> = facts.guards.iter().map(|guard| guard.id.as_str()).collect();
    let (closing, passed_over) = (named(false, false), named(false, true));
    Some(match (closing.is_empty(), passed_over.is_empty()) {
        (false, _) => {
            step("middleware", State::Bad, format!("{closing} is not ready, and closes what it guards"))
        }
        (true, false) => {
            step("middleware", State::Wait, format!("{passed_over} is not ready, and is passed over"))
        }
        (true, true) => step("middleware", State::Ok, format!("requests pass {} first", all.join(", "))),
    })
}

fn invoked(facts: &Facts) -> Option<Step> {
    let counts = &facts.counts;
    if counts.invocations == 0 {
        return None;
    }
    let failed = format!("{} invocations, {} of them failed", counts.invocations, counts.errors);
    let status = facts.status.as_ref();
    let error =
        status.filter(|status| status.phase == Phase::Running).and_then(|status| status.last_error.as_ref());
    Some(match error {
        Some(error) => step("invocations", State::Wait, format!("{failed}; the last error: {error}")),
        None => step("invocations", State::Ok, failed),
    })
}

fn conclusion(facts: &Facts, steps: &[Step]) -> String {
    let id = &facts.id;
    let Some(spec) = facts.desired.functions.get(id) else {
        let why = steps.iter().find(|step| step.name == "wanted").map_or("", |step| step.detail.as_str());
        return format!("{id} does not run: {why}");
    };
    let serves = facts.status.as_ref().and_then(|status| status.serving_version);
    let cause = steps.iter().skip(1).find(|step| step.state == State::Bad && step.name != "serving");
    match (serves, cause) {
        (Some(version), None) if version == spec.version => format!("{id} runs as it is wanted"),
        (Some(version), Some(cause)) if version == spec.version => {
            format!("{id} runs, but {}: {}", cause.name, cause.detail)
        }
        (Some(version), Some(cause)) => {
            format!("{id} runs version {version} and not {}: {}", spec.version, cause.detail)
        }
        (Some(version), None) => format!("{id} runs version {version}; {} is being prepared", spec.version),
        (None, Some(cause)) => format!("{id} does not run: {}", cause.detail),
        (None, None) => format!("{id} does not run yet: it is being prepared"),
    }
}

/// Whether the wanted version failed in one of these phases; its last error begins with the phase's name.
fn failed_in(facts: &Facts, phases: &[&str]) -> bool {
    let failed = |status: &FunctionStatus| matches!(status.phase, Phase::Failed | Phase::Backoff);
    let error =
        facts.status.as_ref().filter(|status| failed(status)).and_then(|status| status.last_error.as_deref());
    error.is_some_and(|error| phases.iter().any(|phase| error.starts_with(phase)))
}

fn last_error(facts: &Facts) -> &str {
    facts.status.as_ref().and_then(|status| status.last_error.as_deref()).unwrap_or("no reason is known")
}

#[cfg(test)]
mod tests {
    use super::super::facts::Guard;
    use super::*;
    use crate::desired::{Accepted, Change, Defaults};
    use crate::metrics::Counts;
    use crate::status::DesiredStatus;
    use serde_json::json;
    use std::sync::Arc;

    /// Version 3 of `f` is wanted by the twin's version 7, with one route.
    fn facts(phase: Phase, serving: Option<u64>, error: Option<&str>) -> Facts {
        let document = json!({ "$version": 7,
            "functions": { "f": { "version": 3, "artifact_url": "https://u:p@host/f.wasm?token=x",
                                  "sha256": "ab".repeat(32) } },
            "routes": { "r": { "path": "/f", "function_id": "f", "methods": ["GET"] } } });
        let desired = match Accepted::default().document(document, &Defaults::default()) {
            Ok(Change::Next(_, desired)) => *desired,
            other => panic!("no change: {other:?}"),
        };
        let status = FunctionStatus {
            origin: Some(Origin::Twin),
            version: 3,
            serving_version: serving,
            phase,
            last_error: error.map(str::to_owned),
            restart_count: 1,
            since: 0,
            reported: serde_json::Map::new(),
            crashed: false,
            held: false,
            again: None,
        };
        Facts {
            id: "f".parse().unwrap(),
            desired: Arc::new(desired),
            desired_status: DesiredStatus::new(200, "applied"),
            twin_version: 7,
            status: Some(status),
            next_try_secs: Some(4),
            artifact: Artifact::Compiled,
            instances: 1,
            counts: Counts::default(),
            shadowed: Vec::new(),
            exports_answerer: true,
            guards: Vec::new(),
            connection: Connection::Up { session: 1 },
        }
    }

    fn bad(steps: &[Step]) -> Vec<&str> {
        steps.iter().filter(|step| step.state == State::Bad).map(|step| step.name).collect()
    }

    #[test]
    fn one_that_is_held_back_says_until_when() {
        let mut facts = facts(Phase::Pending, Some(2), Some("waits for approval: sends telemetry"));
        if let Some(status) = &mut facts.status {
            status.held = true;
        }
        let told = conclusion(&facts, &[wanted(&facts), started(&facts)]);
        assert_eq!(told, "f runs version 2 and not 3: waits for approval: sends telemetry");
    }

    #[test]
    fn what_runs_has_a_chain_without_a_gap() {
        let (conclusion, steps) = explain(&facts(Phase::Running, Some(3), None));
        assert_eq!(conclusion, "f runs as it is wanted");
        assert!(steps.iter().all(|step| step.state == State::Ok), "{:?}", bad(&steps));
        assert_eq!(steps.last().map(|step| step.detail.as_str()), Some("/f (GET)"));
    }

    #[test]
    fn a_failed_download_is_the_cause_and_shows_no_secret() {
        let mut facts = facts(Phase::Backoff, Some(2), Some("fetching: the server answered 404"));
        facts.artifact = Artifact::Missing;
        let (conclusion, steps) = explain(&facts);
        assert!(conclusion.starts_with("f runs version 2 and not 3: "), "{conclusion}");
        assert_eq!(bad(&steps), ["artifact", "started"]);
        let told: String = steps.iter().map(|step| step.detail.as_str()).collect();
        assert!(
            told.contains("next try in 4 s") && told.contains("is not on the device; fetching: the server"),
            "{told}"
        );
        assert!(!told.contains("u:p") && !told.contains("token"), "{told}");
    }

    #[test]
    fn what_is_in_the_way_of_a_function_that_runs_is_told() {
        let mut guarded = facts(Phase::Running, Some(3), None);
        let auth = Guard { id: "auth".parse().unwrap(), ready: false, open: false };
        guarded.guards = vec![auth];
        let (conclusion, steps) = explain(&guarded);
        assert_eq!(bad(&steps), ["middleware"]);
        assert!(conclusion.starts_with("f runs, but middleware: auth is not ready"), "{conclusion}");

        guarded.guards.iter_mut().for_each(|guard| guard.open = true);
        assert!(bad(&explain(&guarded).1).is_empty(), "what fails open is in nobody's way");

        let mut shadowed = facts(Phase::Running, Some(3), None);
        shadowed.shadowed = vec!["GET /f goes to g by another route".to_owned()];
        assert_eq!(explain(&shadowed).0, "f runs, but routes: GET /f goes to g by another route");

        let mut mute = facts(Phase::Running, Some(3), None);
        mute.exports_answerer = false;
        assert_eq!(bad(&explain(&mute).1), ["routes"]);
    }

    #[test]
    fn a_refused_message_is_told_but_is_not_why_a_function_fails() {
        let mut facts = facts(Phase::Running, Some(3), None);
        facts.desired_status = DesiredStatus::new(400, "routes.x.path: is missing");
        let (conclusion, steps) = explain(&facts);
        assert_eq!(conclusion, "f runs as it is wanted");
        assert_eq!(bad(&steps), ["hub"]);
    }

    #[test]
    fn what_nobody_wants_any_more_says_so() {
        let mut facts = facts(Phase::Running, Some(3), None);
        facts.desired = Arc::default();
        let (conclusion, steps) = explain(&facts);
        assert!(conclusion.contains("no longer wanted"), "{conclusion}");
        assert_eq!(steps.len(), 2);
    }
}
