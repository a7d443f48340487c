//! Twin documents that are wrong by construction, whatever else a mutation makes of them; knows nothing of the agent
//! but the rules of its contract.

use serde_json::{Map, Value, json};
use twinlet_tests::dice::Dice;

/// What is not to be read anywhere in a document.
const WRONG_IDS: &[&str] =
    &["", "UPPER", "-leading", "with space", "a.b", "$x", "a/../b", "é", "nul\u{0}", "a\nb", "_under"];
/// Keys that no level of a document has.
const UNKNOWN: &[&str] = &["surprise", "$Version", "functions ", "sha-256", "__proto__", "\u{200b}"];
/// Levels that are more than a message may have.
const TOO_DEEP: usize = 200;

/// A document that is wrong, made from a good one.
pub(crate) fn malformed(good: &Value, dice: &mut Dice) -> Vec<u8> {
    loop {
        let made = match dice.throw(8) {
            0 | 1 => bytes_changed(good, dice),
            2 => Some(cut(good, dice)),
            3 => Some(deep(good, dice)),
            4 => Some(doubled(good, dice)),
            5 => Some(with_wrong_id(good, dice)),
            6 => Some(without_a_key(good, dice)),
            _ => Some(with_wrong_value(good, dice)),
        };
        if let Some(made) = made {
            return made;
        }
    }
}

/// Bytes flipped, taken out and put in; none where that is JSON by accident.
fn bytes_changed(good: &Value, dice: &mut Dice) -> Option<Vec<u8>> {
    let mut bytes = good.to_string().into_bytes();
    for _ in 0..=dice.throw(8) {
        let at = dice.index(bytes.len());
        match dice.throw(3) {
            0 => bytes[at] = dice.byte(),
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, dice.byte()),
        }
    }
    serde_json::from_slice::<Value>(&bytes).is_err().then_some(bytes)
}

/// The begin of a document, without its last brace.
fn cut(good: &Value, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = good.to_string().into_bytes();
    bytes.truncate(dice.index(bytes.len()));
    bytes
}

/// Nested deeper than any message may be, in one of the values or around all of it.
fn deep(good: &Value, dice: &mut Dice) -> Vec<u8> {
    let levels = TOO_DEEP + dice.index(20_000);
    let (open, close) = *dice.pick(&[("[", "]"), ("{\"a\":", "}")]);
    let nested = format!("{}1{}", open.repeat(levels), close.repeat(levels));
    let text = good.to_string();
    let whole = if dice.throw(2) == 0 { nested } else { text.replacen("{}", &nested, 1) };
    whole.into_bytes()
}

/// A key twice, of which the one that counts is wrong.
fn doubled(good: &Value, dice: &mut Dice) -> Vec<u8> {
    let wrong = dice.pick(&["\"$version\":-1", "\"functions\":[]", "\"routes\":7", "\"settings\":\"x\""]);
    let text = good.to_string();
    format!("{},{wrong}}}", text.strip_suffix('}').unwrap()).into_bytes()
}

fn with_wrong_id(good: &Value, dice: &mut Dice) -> Vec<u8> {
    let mut changed = good.clone();
    let id = match dice.throw(4) {
        0 => "x".repeat(65 + dice.index(5_000)),
        _ => (*dice.pick(WRONG_IDS)).to_owned(),
    };
    let level = *dice.pick(&["functions", "routes", "middleware"]);
    let level = changed[level].as_object_mut().unwrap();
    let any = level.values().next().unwrap().clone();
    level.insert(id, any);
    bytes(&changed)
}

/// A key that must be there is not, or one is there that is not known.
fn without_a_key(good: &Value, dice: &mut Dice) -> Vec<u8> {
    let mut changed = good.clone();
    let required = [
        ("", "$version"),
        ("/functions/fn", "version"),
        ("/functions/fn", "artifact_url"),
        ("/functions/fn", "sha256"),
        ("/routes/r0", "path"),
        ("/routes/r0", "function_id"),
        ("/middleware/m0", "function_id"),
        ("/middleware/m0", "attach"),
    ];
    let (at, key) = *dice.pick(&required);
    let level = object(&mut changed, at);
    if dice.throw(2) == 0 {
        level.remove(key);
    } else {
        level.insert((*dice.pick(UNKNOWN)).to_owned(), anything(dice));
    }
    bytes(&changed)
}

/// A value of another type than its key wants, or out of all bounds.
fn with_wrong_value(good: &Value, dice: &mut Dice) -> Vec<u8> {
    let mut changed = good.clone();
    let numbers = [
        ("", "$version"),
        ("/functions/fn", "version"),
        ("/functions/fn", "memory_pages"),
        ("/functions/fn", "max_execution_ms"),
        ("/functions/fn", "size"),
        ("/functions/fn/instances", "max"),
        ("/settings", "heartbeat_interval_secs"),
    ];
    let texts = [
        ("/functions/fn", "artifact_url"),
        ("/functions/fn", "sha256"),
        ("/functions/fn", "entrypoint"),
        ("/routes/r0", "path"),
        ("/routes/r0", "function_id"),
        ("/middleware/m0", "function_id"),
        ("/settings", "log_level"),
    ];
    let wrong_number = [json!(-1), json!(1.5), json!(1e300), json!("7"), json!([7]), json!(true), json!({})];
    let wrong_text = [json!(7), json!(["x"]), json!({}), json!(false), json!("\u{0}"), json!("")];
    let ((at, key), wrong) = match dice.throw(3) {
        0 => (*dice.pick(&texts), dice.pick(&wrong_text).clone()),
        1 => (*dice.pick(&numbers), dice.pick(&wrong_number).clone()),
        _ => {
            let key = *dice.pick(&["functions", "routes", "middleware", "settings"]);
            (("", key), dice.pick(&[json!([]), json!(7), json!("x"), json!(true)]).clone())
        }
    };
    object(&mut changed, at).insert(key.to_owned(), wrong);
    // A number that no type of the agent's holds; serde_json can not write it.
    let text = changed.to_string();
    match dice.throw(4) {
        0 => text.replacen("\"$version\":", "\"$version\":1e999999,\"x\":", 1).into_bytes(),
        _ => text.into_bytes(),
    }
}

fn anything(dice: &mut Dice) -> Value {
    dice.pick(&[json!(1), json!("x"), json!({}), json!([[]]), json!(1e308)]).clone()
}

fn object<'a>(document: &'a mut Value, at: &str) -> &'a mut Map<String, Value> {
    document.pointer_mut(at).and_then(Value::as_object_mut).unwrap()
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}
