//! The file that `api_keys_file` names: who may do what at the public door. It knows nothing of requests.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::layers::line;
use crate::desired::{FunctionId, Object, PathPattern, Problems, Sha256};

/// What needs no key where the file does not say.
const PUBLIC: &[&str] = &["/healthz", "/readyz", "/metrics"];
/// Entries of one file.
const MAX_KEYS: usize = 256;
/// Bytes of a secret to sign with.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=1_024;

/// Who may do what at the public door, as its file says.
#[derive(Debug)]
pub struct ApiKeys {
    /// Paths that need no key.
    pub public: Vec<PathPattern>,
    /// The keys; one at least.
    pub keys: Vec<ApiKey>,
}

/// One entry: who shows this key, or signs with this secret, may do what it says.
pub struct ApiKey {
    /// Its name, which is no secret; unique in its file.
    pub name: FunctionId,
    /// The SHA-256 of the key's text, which the file does not hold.
    pub sha256: Option<Sha256>,
    /// What requests are signed with, 32 bytes at least.
    pub hmac_secret: Option<Vec<u8>>,
    /// Whether it opens the management API, and every path.
    pub admin: bool,
    /// The paths that it opens.
    pub routes: Vec<PathPattern>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never its secret.
        write!(f, "ApiKey({})", self.name)
    }
}

impl ApiKeys {
    /// Reads the file's text, or says everything that is wrong with it; no message quotes a key or a secret.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            // Not the error's Display: it quotes the line, which may hold a secret.
            let at = line(text, error.span().map_or(0, |span| span.start));
            let fault = error.message().replace('\n', " ");
            problems.add(&format!("line {at}"), format_args!("is not TOML: {fault}"));
        }
        let keys = if errors.is_empty() { Self::read(&object(table.get_ref()), &mut problems) } else { None };
        problems.or(keys)
    }

    fn read(document: &Value, problems: &mut Problems) -> Option<Self> {
        let mut root = Object::of("", document, problems)?;
        let public = match root.get("public") {
            Some(_) => patterns(&mut root, "public", problems),
            None => PUBLIC.iter().filter_map(|path| PathPattern::of_any(path).ok()).collect(),
        };
        let entries = match root.get("key") {
            Some(Value::Array(entries)) if !entries.is_empty() => entries.as_slice(),
            Some(_) => {
                problems.add("key", "is written as tables, `[[key]]`");
                &[]
            }
            None => {
                problems.add("key", "is missing; a file without a `[[key]]` would let nobody in");
                &[]
            }
        };
        if entries.len() > MAX_KEYS {
            problems.add("key", format_args!("there are more than {MAX_KEYS}"));
        }
        root.end(problems);
        let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
        let mut keys = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("key[{index}]");
            let Some(key) = ApiKey::read(&path, entry, problems) else { continue };
            if !names.insert(key.name.clone()) {
                problems.add(&format!("{path}.name"), format_args!("`{}` stands twice", key.name));
            }
            if key.sha256.is_some_and(|digest| !digests.insert(digest)) {
                problems.add(&format!("{path}.sha256"), "is another entry's as well");
            }
            keys.push(key);
        }
        Some(Self { public, keys })
    }
}

impl ApiKey {
    fn read(path: &str, value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut fields = Object::of(path, value, problems)?;
        let name = fields.parsed("name", problems);
        // A key in the clear may stand where its digest should, so that messages quote neither.
        let sha256 = fields.get("sha256").map(|value| value.as_str()?.parse().ok());
        if sha256 == Some(None) {
            problems.add(&fields.path("sha256"), "64 hexadecimal digits are wanted, in quotes");
        }
        let hmac_secret = fields.get("hmac_secret").map(|value| secret(value.as_str()?));
        if hmac_secret == Some(None) {
            problems.add(
                &fields.path("hmac_secret"),
                format_args!(
                    "{} to {} bytes are wanted, as hexadecimal digits or base64, in quotes",
                    SECRET_BYTES.start(),
                    SECRET_BYTES.end()
                ),
            );
        }
        if sha256.is_none() && hmac_secret.is_none() {
            problems.add(path, "has neither `sha256` nor `hmac_secret`");
        }
        let admin = fields.flag("admin", problems);
        let routes = patterns(&mut fields, "routes", problems);
        let silent = fields.get("admin").is_none_or(|value| value == false)
            && fields.get("routes").is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
        if silent {
            problems.add(path, "opens nothing; it needs `admin = true` or `routes`");
        }
        fields.end(problems);
        Some(Self {
            name: name?,
            sha256: sha256.flatten(),
            hmac_secret: hmac_secret.flatten(),
            admin,
            routes,
        })
    }
}

fn patterns(fields: &mut Object<'_>, key: &'static str, problems: &mut Problems) -> Vec<PathPattern> {
    let mut patterns = Vec::new();
    for text in fields.texts(key, problems) {
        match PathPattern::of_any(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.add(&fields.path(key), error),
        }
    }
    patterns
}

/// The table as JSON, which has a reader that tells all that is wrong.
fn object(table: &DeTable<'_>) -> Value {
    let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = name.get_ref();
        (name.to_string(), json(value.get_ref()))
    };
    Value::Object(table.iter().map(entry).collect())
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| json(item.get_ref())).collect()),
        DeValue::Table(table) => object(table),
        // No key of the file has such a value; whichever it is, it is refused.
        DeValue::Integer(_) | DeValue::Float(_) => Value::from(0),
        DeValue::Datetime(_) => Value::Object(Map::new()),
    }
}

/// The bytes of a secret, which is hexadecimal where all of it can be, else base64.
fn secret(text: &str) -> Option<Vec<u8>> {
    let hex = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let bytes = if hex {
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        text.as_bytes().chunks(2).map(byte).collect()
    } else {
        base64(text)
    };
    bytes.filter(|bytes: &Vec<u8>| SECRET_BYTES.contains(&bytes.len()))
}

/// Base64 of either alphabet, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut held, mut bits) = (0_u32, 0_u32);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (held, bits) = (held << 6 | u32::from(value), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 6 && held == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn problems(text: &str) -> String {
        ApiKeys::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read() {
        let text = format!(
            "public = [\"/healthz\", \"/pub/*\"]\n[[key]]\nname = \"ops-2026\"\nsha256 = \"{DIGEST}\"\nadmin = true\n\
             [[key]]\nname = \"meter\"\nhmac_secret = \"{}\"\nroutes = [\"/api/*\", \"/metrics\"]\n",
            "AQID".repeat(11)
        );
        let keys = ApiKeys::parse(&text).unwrap();
        assert_eq!((keys.public.len(), keys.keys.len()), (2, 2));
        assert!(keys.keys[0].admin && keys.keys[0].sha256.is_some() && keys.keys[0].routes.is_empty());
        assert_eq!(keys.keys[1].hmac_secret.as_deref(), Some([1, 2, 3].repeat(11).as_slice()));
        assert!(!keys.keys[1].admin && keys.keys[1].routes.len() == 2);
        let silent = ApiKeys::parse(&format!("[[key]]\nname = 'a'\nsha256 = '{DIGEST}'\nadmin = true"));
        assert_eq!(silent.unwrap().public.len(), PUBLIC.len());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = format!(
            "publik = 1\npublic = [\"x\"]\n[[key]]\nname = \"Ops\"\nsha256 = \"12\"\nadmin = 1\ncolour = 2\n\
             [[key]]\nname = \"a\"\nadmin = true\n[[key]]\nname = \"a\"\nsha256 = \"{DIGEST}\"\nroutes = []\n\
             [[key]]\nname = \"b\"\nhmac_secret = \"c2hvcnQ=\"\nroutes = [\"/a\"]\nsha256 = \"{DIGEST}\""
        );
        let told = problems(&text);
        for wanted in [
            "publik: is not a key that is known here",
            "public: a path begins with `/`",
            "key[0].name: `Ops` is not an id",
            "key[0].sha256: 64 hexadecimal digits",
            "key[0].admin: true or false is wanted",
            "key[0].colour: is not a key",
            "key[1]: has neither `sha256` nor `hmac_secret`",
            "key[2].name: `a` stands twice",
            "key[2]: opens nothing",
            "key[3].hmac_secret: 32 to 1024 bytes",
            "key[3].sha256: is another entry's as well",
        ] {
            assert!(told.contains(wanted), "{wanted} is not in {told}");
        }
    }

    #[test]
    fn a_file_without_keys_is_refused() {
        for text in ["", "public = [\"/*\"]", "key = []", "key = 7", "key = \"hunter2\""] {
            assert!(problems(text).contains("key: "), "{text}");
        }
    }

    #[test]
    fn no_message_quotes_a_key_or_a_secret() {
        for text in [
            "[[key]]\nname = 'a'\nsha256 = 'hunter2'",
            "[[key]]\nname = 'a'\nhmac_secret = 'hunter2'",
            "[[key]]\nname = 'a'\nhmac_secret = 'hunter2",
            "[[key]]\nname = 'a'\nsha256 = ['hunter2']",
            "[[key]]\nname = 'a'\nsha256 = hunter2",
        ] {
            assert!(!problems(text).contains("hunter2"), "{}", problems(text));
        }
        let debug = format!(
            "{:?}",
            ApiKeys::parse(&format!("[[key]]\nname='a'\nhmac_secret='{}'\nadmin=true", "00ff".repeat(16)))
                .unwrap()
        );
        assert!(!debug.contains("255") && !debug.contains("00ff"), "{debug}");
    }

    #[test]
    fn secrets_are_hexadecimal_or_base64() {
        assert_eq!(secret(&"0f".repeat(32)), Some(vec![15; 32]));
        assert_eq!(secret("//////////////////////////////////////////8="), Some(vec![255; 32]));
        assert_eq!(secret("__________________________________________8"), Some(vec![255; 32]));
        let long = "ab".repeat(1_025);
        for bad in
            ["", "0f", "c2hvcnQ=", "not base64 at all, however long this text may become!", long.as_str()]
        {
            assert_eq!(secret(bad), None, "{bad}");
        }
        assert_eq!(base64("/////////////////////////////////////////=8="), None);
        assert_eq!((base64("AQIDB"), base64("AQJ")), (None, None));
    }
}
