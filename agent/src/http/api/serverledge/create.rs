//! `/create` and `/delete`: functions come and go.

use std::io;

use serde_json::{Map, Value, json};

use super::super::super::Service;
use super::super::super::answer::{Answer, Failure};
use super::super::Call;
use super::super::call::json;
use super::super::functions::PutError;
use super::package::Package;
use super::{UNKNOWN, refused};
use crate::config;
use crate::desired::{Ask, AskError, Bundle, FunctionId, Object, Problems, Sha256};

/// The one runtime that there is.
const RUNTIME: &str = "wasm";
/// Pages of 64 KiB in a megabyte.
const PAGES_PER_MB: u32 = 16;
/// Instances that a function may have.
const MAX_INSTANCES: f64 = 4_096.0;
/// Fields of desired state, and what they are made of here.
const NAMES: &[(&str, &str)] = &[
    ("entrypoint:", "Handler:"),
    ("memory_pages:", "MemoryMB:"),
    ("instances.max:", "CPUDemand:"),
    ("instances.min:", "CPUDemand:"),
    ("artifact_url:", "CustomImage:"),
];

/// A function as it was asked for.
struct Asked {
    name: FunctionId,
    code: Code,
    memory_pages: u32,
    max_instances: Option<u32>,
    handler: Option<String>,
}

/// Where its component is.
enum Code {
    Packed(Package),
    At { url: String, sha256: Sha256 },
}

pub(in crate::http::api) fn create(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let mut runtime = None;
    let asked = call.fields(|fields, problems| {
        if fields.required("Runtime", problems).is_some() {
            runtime = fields.text("Runtime", problems).map(|name| name == RUNTIME);
        }
        // What is meant for another runtime is not read by the rules of this one.
        if runtime == Some(false) { None } else { Asked::read(fields, &service.api.settings, problems) }
    });
    if runtime == Some(false) {
        return Ok(Answer::text(404, "Invalid runtime."));
    }
    let asked = asked?;
    let name = asked.name.clone();
    let origin = service.api.desired.borrow().origins.get(&name).copied();
    if let Some(origin) = origin {
        // Before anything is written; the desk looks again.
        return Ok(Answer::text(409, &AskError::Exists(name, origin).to_string()));
    }
    let bundle = match asked.keep(service) {
        Ok(bundle) => bundle,
        Err(error) => return Ok(refused(503, "Creation failed", error)),
    };
    match service.put(bundle) {
        Ok(_) => Ok(json(200, &json!({ "Created": name.as_str() }))),
        Err(PutError::Refused(AskError::Invalid(problems))) => Err(Failure::Invalid(in_our_words(&problems))),
        Err(PutError::Refused(error @ (AskError::Exists(..) | AskError::OfTheHub(..)))) => {
            Ok(Answer::text(409, &error.to_string()))
        }
        Err(error) => Ok(refused(503, "Creation failed", error)),
    }
}

pub(in crate::http::api) fn delete(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let name = call.fields(|fields, problems| {
        fields.required("Name", problems)?;
        fields.text("Name", problems).map(str::to_owned)
    })?;
    let Ok(id) = name.parse::<FunctionId>() else { return Ok(Answer::text(404, UNKNOWN)) };
    match service.api.desk.ask(Ask::Remove(id.clone())) {
        Ok(_) => {}
        Err(AskError::Unknown(_)) => return Ok(Answer::text(404, UNKNOWN)),
        Err(error @ AskError::OfTheHub(..)) => return Ok(Answer::text(409, &error.to_string())),
        Err(error) => return Ok(refused(503, "Deletion failed", error)),
    }
    // Whoever creates it anew must not take this one for that one.
    service.gone(&id);
    Ok(json(200, &json!({ "Deleted": name })))
}

impl Asked {
    fn read(fields: &mut Object<'_>, limits: &config::Api, problems: &mut Problems) -> Option<Self> {
        let name = fields.parsed("Name", problems);
        let most = u64::from(limits.max_memory_pages / PAGES_PER_MB).max(1);
        let memory = fields.number::<u32>("MemoryMB", 1..=most, None, problems);
        let max_instances = instances(fields, problems);
        let handler = filled(fields, "Handler", problems).map(str::to_owned);
        let code = Code::read(fields, limits, problems);
        Some(Self {
            name: name?,
            code: code?,
            memory_pages: memory?.saturating_mul(PAGES_PER_MB),
            max_instances: max_instances?,
            handler,
        })
    }

    /// Keeps the component on the device, where it came along; the function as desired state has it.
    fn keep(self, service: &Service) -> io::Result<Bundle> {
        let mut function = Map::new();
        let mut set = |key: &str, value: Value| drop(function.insert(key.to_owned(), value));
        match self.code {
            Code::Packed(package) => {
                let component = package.component();
                let sha256 = service.keep_component(component)?;
                set("artifact_url", format!("upload://{sha256}").into());
                set("sha256", sha256.to_string().into());
                set("size", component.len().into());
            }
            Code::At { url, sha256 } => {
                set("artifact_url", url.into());
                set("sha256", sha256.to_string().into());
            }
        }
        set("memory_pages", self.memory_pages.into());
        if let Some(max) = self.max_instances {
            set("instances", json!({ "max": max }));
        }
        if let Some(handler) = self.handler {
            set("entrypoint", handler.into());
        }
        Ok(Bundle {
            id: self.name,
            function,
            routes: Map::new(),
            middleware: Map::new(),
            module: None,
            replace: false,
        })
    }
}

impl Code {
    fn read(fields: &mut Object<'_>, limits: &config::Api, problems: &mut Problems) -> Option<Self> {
        let packed = filled(fields, "TarFunctionCode", problems);
        let image = filled(fields, "CustomImage", problems);
        let (key, read) = match (packed, image) {
            (Some(text), None) => {
                ("TarFunctionCode", Package::read(text, limits.max_artifact_bytes).map(Self::Packed))
            }
            (None, Some(text)) => ("CustomImage", image_of(text)),
            (Some(_), Some(_)) => ("CustomImage", Err("there is a TarFunctionCode as well".to_owned())),
            (None, None) => ("TarFunctionCode", Err("is missing, and so is CustomImage".to_owned())),
        };
        read.map_err(|why| problems.add(&fields.path(key), why)).ok()
    }
}

/// A text that is more than nothing: clients of Serverledge send all fields, set or not.
fn filled<'a>(fields: &mut Object<'a>, key: &'static str, problems: &mut Problems) -> Option<&'a str> {
    fields.text(key, problems).filter(|text| !text.is_empty())
}

/// How many instances there may be; an inner none where that is not bounded here.
fn instances(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Option<u32>> {
    let Some(value) = fields.get("CPUDemand") else { return Some(None) };
    let cores = value.as_f64().filter(|cores| (0.0..=MAX_INSTANCES).contains(cores) || *cores == -1.0);
    match cores {
        None => {
            let what = "a number of cores from 0 to 4096 is wanted, or -1 for no cap";
            problems.add(&fields.path("CPUDemand"), what);
            None
        }
        Some(cores) if cores < 0.0 => Some(None),
        // Within what was just looked at.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some(cores) => Some(Some((cores.ceil() as u32).max(1))),
    }
}

/// `<URL>@sha256:<digest>`
fn image_of(text: &str) -> Result<Code, String> {
    let shape = || "is not of the form <http or https URL>@sha256:<64 hex digits>".to_owned();
    let (url, digest) = text.rsplit_once("@sha256:").ok_or_else(shape)?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(shape());
    }
    let sha256 = digest.parse().map_err(|error| format!("{error}"))?;
    Ok(Code::At { url: url.to_owned(), sha256 })
}

/// Problems of desired state, under the names of the fields that it was made of.
fn in_our_words(problems: &Problems) -> String {
    let told = problems.to_string();
    NAMES.iter().fold(told, |told, (theirs, ours)| told.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(value: Value) -> Option<Option<u32>> {
        let body = json!({ "CPUDemand": value });
        let mut problems = Problems::default();
        let mut fields = Object::of("", &body, &mut problems)?;
        let read = instances(&mut fields, &mut problems);
        problems.or(read).ok()
    }

    #[test]
    fn a_share_of_the_cores_becomes_a_whole_number_of_instances() {
        for (cores, instances) in [
            (json!(null), None),
            (json!(-1.0), None),
            (json!(-1), None),
            (json!(0), Some(1)),
            (json!(0.1), Some(1)),
            (json!(1.0), Some(1)),
            (json!(1.01), Some(2)),
            (json!(4096), Some(4_096)),
        ] {
            assert_eq!(bounded(cores.clone()), Some(instances), "{cores}");
        }
        for wrong in [json!(-0.5), json!(-2), json!(4096.1), json!(1e300), json!("1"), json!(true), json!([])]
        {
            assert_eq!(bounded(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn an_image_has_a_url_and_a_digest() {
        let digest = "ab".repeat(32);
        let read = image_of(&format!("https://u@h/f.wasm@sha256:{digest}"));
        assert!(matches!(read, Ok(Code::At { url, .. }) if url == "https://u@h/f.wasm"));
        for wrong in [
            "https://h/f.wasm".to_owned(),
            format!("ftp://h/f.wasm@sha256:{digest}"),
            format!("f.wasm@sha256:{digest}"),
            format!("file:///etc/passwd@sha256:{digest}"),
            format!("https://h/f@sha256:{}", &digest[1..]),
            format!("https://h/f@sha512:{digest}"),
        ] {
            assert!(image_of(&wrong).is_err(), "{wrong}");
        }
    }
}
