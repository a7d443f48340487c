//! The body of `POST /wasm`, read field by field.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::desired::{AttachPoint, FunctionId, Object, Problems, WITHHELD};

/// Modules in one body.
const MAX_MODULES: usize = 64;
/// Bytes of a path, as Linux has it.
const MAX_PATH: usize = 4_096;

/// sgl-router's names of the points.
const POINTS: [(&str, AttachPoint); 3] = [
    ("OnRequest", AttachPoint::Request),
    ("OnResponse", AttachPoint::Response),
    ("OnError", AttachPoint::Error),
];

/// A module that is to be added.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its name, and the id of its function.
    pub(super) name: FunctionId,
    /// Where its component is; absolute.
    pub(super) file_path: String,
    /// Where it is attached, by sgl-router's name and ours.
    pub(super) points: Vec<(&'static str, AttachPoint)>,
    /// The headers that it asks for beside those that every function sees.
    pub(super) headers: Vec<String>,
}

/// The modules of a body.
pub(super) fn modules(body: &mut Object<'_>, problems: &mut Problems) -> Option<Vec<Wanted>> {
    let list = body.required("modules", problems)?;
    let Some(items) = list.as_array() else {
        problems.add("modules", "a list is wanted");
        return None;
    };
    if !(1..=MAX_MODULES).contains(&items.len()) {
        problems.add("modules", format_args!("1 to {MAX_MODULES} modules are wanted, not {}", items.len()));
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(index, item)| Wanted::read(&format!("modules[{index}]"), item, problems))
        .collect();
    read.into_iter().collect()
}

impl Wanted {
    fn read(path: &str, value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut fields = Object::of(path, value, problems)?;
        let name = fields.parsed("name", problems);
        let file_path = fields.required("file_path", problems);
        let file_path = file_path.and_then(|_| fields.text("file_path", problems));
        if let Some(why) = file_path.and_then(wrong_path) {
            problems.add(&fields.path("file_path"), why);
        }
        let kind = fields.required("module_type", problems);
        if kind.is_some_and(|kind| kind != "Middleware") {
            problems.add(&fields.path("module_type"), "`Middleware` is wanted");
        }
        let points = read_points(&mut fields, problems);
        let headers = fields.texts("headers", problems).into_iter().map(str::to_owned).collect::<Vec<_>>();
        if !headers.iter().all(|name| WITHHELD.contains(&name.as_str())) {
            problems.add(
                &fields.path("headers"),
                format_args!("only `{}` can be asked for", WITHHELD.join("`, `")),
            );
        }
        fields.end(problems);
        Some(Self { name: name?, file_path: file_path?.to_owned(), points: points?, headers })
    }

    /// The module as the answer repeats it, with what became of it.
    pub(super) fn told(&self, result: &Value) -> Value {
        let names = self.points.iter().map(|(name, _)| *name);
        let mut told = json!({
            "name": self.name,
            "file_path": self.file_path,
            "module_type": "Middleware",
            "attach_points": attach_points(names),
            "add_result": result,
        });
        if let (false, Some(told)) = (self.headers.is_empty(), told.as_object_mut()) {
            told.insert("headers".to_owned(), self.headers.clone().into());
        }
        told
    }

    /// Its middleware of desired state. A failure is passed over, as sgl-router does.
    pub(super) fn attached(&self, order: i32) -> Map<String, Value> {
        let attach: Vec<&str> = self.points.iter().map(|(_, point)| point.as_str()).collect();
        let id = self.name.as_str();
        let spec = json!({ "function_id": id, "attach": attach, "order": order, "on_failure": "open" });
        Map::from_iter([(id.to_owned(), spec)])
    }
}

/// Attach points as sgl-router writes them.
pub(super) fn attach_points<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    names.map(|name| json!({ "Middleware": name })).collect()
}

fn wrong_path(path: &str) -> Option<String> {
    if path.len() > MAX_PATH {
        return Some(format!("is longer than {MAX_PATH} bytes"));
    }
    if path.contains('\0') {
        return Some("holds a zero byte".to_owned());
    }
    (!Path::new(path).is_absolute()).then(|| "an absolute path is wanted".to_owned())
}

fn read_points(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Vec<(&'static str, AttachPoint)>> {
    let path = fields.path("attach_points");
    let items = fields.required("attach_points", problems)?.as_array().filter(|items| !items.is_empty());
    let Some(items) = items else {
        problems.add(&path, "a list of at least one is wanted, such as [{\"Middleware\": \"OnRequest\"}]");
        return None;
    };
    let mut points = Vec::new();
    for (index, item) in items.iter().enumerate().take(POINTS.len() + 1) {
        let path = format!("{path}[{index}]");
        let Some(mut point) = Object::of(&path, item, problems) else { continue };
        let name = point.required("Middleware", problems);
        match POINTS.iter().find(|(known, _)| name.is_some_and(|name| name == known)) {
            Some(known) if points.contains(known) => problems.add(&path, "stands there twice"),
            Some(known) => points.push(*known),
            None if name.is_none() => {}
            None => {
                problems.add(&point.path("Middleware"), "`OnRequest`, `OnResponse` or `OnError` is wanted")
            }
        }
        point.end(problems);
    }
    Some(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Result<Vec<Wanted>, String> {
        let mut problems = Problems::default();
        let wanted =
            Object::of("", body, &mut problems).and_then(|mut body| modules(&mut body, &mut problems));
        problems.or(wanted).map_err(|problems| problems.to_string())
    }

    fn module() -> Value {
        json!({ "name": "a", "file_path": "/w/a.wasm", "module_type": "Middleware",
                "attach_points": [{ "Middleware": "OnRequest" }, { "Middleware": "OnError" }] })
    }

    #[test]
    fn a_module_is_read_and_told_as_it_came() {
        let wanted = read(&json!({ "modules": [module()] })).unwrap();
        let mut told = module();
        told["add_result"] = json!({ "Success": "x" });
        assert_eq!(wanted[0].told(&json!({ "Success": "x" })), told);
        assert_eq!(wanted[0].attached(3)["a"]["attach"], json!(["on-request", "on-error"]));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let point = |point: Value| json!([point]);
        for (field, value, path) in [
            ("name", json!("A"), "modules[1].name:"),
            ("name", json!("a".repeat(65)), "modules[1].name:"),
            ("name", json!(7), "modules[1].name:"),
            ("name", Value::Null, "modules[1].name: is missing"),
            ("file_path", json!("a.wasm"), "modules[1].file_path: an absolute path"),
            ("file_path", json!(""), "modules[1].file_path: an absolute path"),
            ("file_path", json!("/a\0b"), "modules[1].file_path: holds"),
            ("file_path", json!(["/"]), "modules[1].file_path:"),
            ("file_path", json!(format!("/{}", "a".repeat(4_096))), "modules[1].file_path: is longer"),
            ("module_type", json!("Policy"), "modules[1].module_type:"),
            ("module_type", Value::Null, "modules[1].module_type: is missing"),
            ("attach_points", json!([]), "modules[1].attach_points:"),
            ("attach_points", json!("OnRequest"), "modules[1].attach_points:"),
            ("attach_points", json!(["OnRequest"]), "modules[1].attach_points[0]:"),
            ("attach_points", point(json!({ "Policy": "OnRequest" })), "modules[1].attach_points[0].Policy:"),
            ("attach_points", point(json!({ "Middleware": "onrequest" })), "attach_points[0].Middleware:"),
            ("attach_points", point(json!({ "Middleware": 1 })), "modules[1].attach_points[0].Middleware:"),
            ("attach_points", point(json!({ "Middleware": "OnError", "x": 1 })), "attach_points[0].x:"),
            (
                "attach_points",
                json!([{ "Middleware": "OnError" }, { "Middleware": "OnError" }]),
                "modules[1].attach_points[1]: stands there twice",
            ),
            ("headers", json!(["host"]), "modules[1].headers: only"),
            ("headers", json!("cookie"), "modules[1].headers: a list"),
            ("surprise", json!(1), "modules[1].surprise: is not a key"),
            ("add_result", json!({ "Success": "x" }), "modules[1].add_result: is not a key"),
        ] {
            let mut wrong = module();
            wrong[field] = value;
            let told = read(&json!({ "modules": [module(), wrong] })).unwrap_err();
            assert!(told.contains(path), "{path} is not in {told}");
        }
    }

    #[test]
    fn a_batch_has_1_to_64_modules() {
        for (body, told) in [
            (json!({}), "modules: is missing"),
            (json!({ "modules": {} }), "modules: a list"),
            (json!({ "modules": [] }), "modules: 1 to 64"),
            (json!({ "modules": vec![module(); 65] }), "modules: 1 to 64"),
            (json!({ "modules": [7] }), "modules[0]: an object"),
            (json!([]), "an object is wanted"),
        ] {
            let error = read(&body).unwrap_err();
            assert!(error.contains(told), "{told} is not in {error}");
        }
        assert_eq!(read(&json!({ "modules": vec![module(); 64] })).unwrap().len(), 64);
    }
}
