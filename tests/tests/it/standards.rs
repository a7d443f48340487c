//! The standard interfaces that are not wasmtime's own: `wasi:config/store` and `wasi:keyvalue/store`.

use serde_json::json;
use twinlet_tests::guests;

use crate::site;

#[test]
fn config_is_there_key_by_key_and_a_change_reaches_the_function() {
    let site = site();
    let function = site.function("f", guests::configured());
    let with = |config: serde_json::Value| function.clone().set("config", config);
    site.apply(1, |d| d.serving(with(json!({ "unit": "mm", "limits": [1, 2.5], "level": 7 }))));
    let ask = |key: &str| {
        let answer = site.agent.post("/f", key);
        (answer.status, answer.text())
    };
    assert_eq!(ask("unit"), (200, "mm".into()), "a string as it is");
    assert_eq!(ask("limits"), (200, "[1,2.5]".into()), "anything else as JSON");
    assert_eq!(ask("level"), (200, "7".into()));
    assert_eq!(ask("other").0, 404);
    site.apply(2, |d| d.serving(with(json!({ "unit": "inch" }))));
    assert_eq!(ask("unit"), (200, "inch".into()));
    assert_eq!(ask("level").0, 404);
    assert_eq!(site.artifacts.requests("f.wasm"), 1, "without another download");
}

#[test]
fn a_kept_value_survives_kill_9_and_a_redeployment_and_goes_with_its_function() {
    let mut site = site();
    let (keeps, other) = (site.function("keeps", guests::keeps()), site.function("other", guests::keeps()));
    let again = keeps.clone().version(2).set("config", json!({ "any": "change" }));
    site.apply(1, |d| d.serving(keeps.clone()).serving(other.clone()));
    assert_eq!(site.agent.get("/keeps").status, 404);
    assert_eq!(site.agent.post("/keeps", [1, 0, 255]).body, [1, 0, 255]);
    assert_eq!(site.agent.get("/other").status, 404, "another's values are its own");
    site.agent.kill9();
    site.agent = site.agent.again(|builder| builder);
    assert_eq!(site.agent.answers("/keeps", 200).body, [1, 0, 255]);
    site.apply(2, |d| d.serving(again).serving(other.clone()));
    assert_eq!(site.agent.get("/keeps").body, [1, 0, 255]);
    site.apply(3, |d| d.serving(other.clone()));
    site.apply(4, |d| d.serving(keeps).serving(other));
    assert_eq!(site.agent.get("/keeps").status, 404);
}
