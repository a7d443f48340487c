//! `/openapi.json`: the API described for machines, OpenAPI 3.1. Written by hand; its test holds it against the table
//! of operations, and `tests/openapi/run` against a running agent.

use super::super::Service;
use super::super::answer::{Answer, Failure};
use super::Call;

const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn document(_: &Service, _: &Call) -> Result<Answer, Failure> {
    Ok(Answer::new(200, "application/json", DOCUMENT))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::{OPERATIONS, Operation};
    use super::*;

    const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
    /// What stands before the API, in `Service::own_page`.
    const PAGES: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

    fn parsed() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// Every operation: its method in upper case, its path with `{}` for a parameter, and what is said of it.
    fn described(document: &Value) -> Vec<(String, String, &Value)> {
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let plain = match path.split_once('{') {
                Some((begin, _)) => format!("{begin}{{}}"),
                None => path.clone(),
            };
            let of_item = item.as_object().unwrap().iter().filter(|(key, _)| METHODS.contains(&key.as_str()));
            all.extend(of_item.map(|(method, said)| (method.to_uppercase(), plain.clone(), said)));
        }
        all
    }

    /// Everything that is said under a key, at any depth.
    fn under<'a>(key: &str, value: &'a Value, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get(key));
                map.values().for_each(|inner| under(key, inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| under(key, inner, found)),
            _ => {}
        }
    }

    #[test]
    fn it_describes_every_operation_and_no_other() {
        let document = parsed();
        let described: BTreeSet<(String, String)> =
            described(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
        let mut there: BTreeSet<(String, String)> = OPERATIONS
            .iter()
            .map(|Operation(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        there.extend(PAGES.map(|page| ("GET".to_owned(), page.to_owned())));
        assert_eq!(described, there);
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_component_is_used() {
        let document = parsed();
        let mut references = Vec::new();
        under("$ref", &document, &mut references);
        let references: BTreeSet<&str> =
            references.iter().map(|reference| reference.as_str().unwrap()).collect();
        for reference in &references {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for kind in ["responses", "schemas"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(references.contains(reference.as_str()), "{reference} is used nowhere");
            }
        }
        let schemes: BTreeSet<&String> =
            document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
        let needed = document["security"].as_array().unwrap().iter();
        assert_eq!(needed.flat_map(|one| one.as_object().unwrap().keys()).collect::<BTreeSet<_>>(), schemes);
    }

    #[test]
    fn every_operation_says_what_all_of_its_kind_can_answer() {
        let document = parsed();
        let mut ids = BTreeSet::new();
        for (method, path, said) in described(&document) {
            let operation = format!("{method} {path}");
            assert!(ids.insert(said["operationId"].as_str().unwrap().to_owned()), "{operation}");
            let statuses: BTreeSet<&str> =
                said["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            for response in said["responses"].as_object().unwrap().values() {
                let response = match response["$ref"].as_str() {
                    Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
                    None => response,
                };
                assert!(
                    response["description"].is_string() && response["content"].is_object(),
                    "{operation}"
                );
            }
            assert!(statuses.is_superset(&BTreeSet::from(["200", "401"])), "{operation}");
            let carried = OPERATIONS.iter().find(|Operation(m, p, _)| *m == method && *p == path);
            if let Some(Operation(_, _, super::super::Carried::Aside(_))) = carried {
                assert!(statuses.contains("503"), "{operation} may find no thread");
            }
            if said["requestBody"].is_object() {
                assert_eq!(said["requestBody"]["required"], true, "{operation}");
                assert!(statuses.is_superset(&BTreeSet::from(["400", "413"])), "{operation} has a body");
            }
            let path_has_name = path.contains("{}");
            let mut names = Vec::new();
            under("in", said, &mut names);
            under("in", &document["paths"][path.replace("{}", "{id}")]["parameters"], &mut names);
            assert_eq!(names.iter().any(|place| *place == "path"), path_has_name, "{operation}");
        }
    }
}
