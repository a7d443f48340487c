//! What the file of keys says, ready for requests: which paths are open, and what a key opens. Keys are compared by
//! blinded digests, all of them for every request, so that the time it takes tells nothing of any.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};

use super::Refusal;
use super::signature::{self, Signed};
use crate::chains::{covers, readings, spellings};
use crate::config::{ApiKey, ApiKeys};
use crate::desired::{PathPattern, Problems};
use crate::http::Incoming;
use crate::http::api::is_of_api;

/// Bytes of the largest file of keys.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Bits of a file's mode that are for neither its owner nor its group.
const OTHERS: u32 = 0o007;
/// More segments than any path of the API has that is not told by its first.
const SEGMENTS_OF_API: usize = 8;

/// Why a file of keys can not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It can not be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Others than its owner and group may use it.
    #[error(
        "its mode is {0:04o}, so that every user of this device may read or change it; try `chmod o= FILE`"
    )]
    Mode(u32),
    /// It is no file of keys.
    #[error("it is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotText,
    /// What it says is wrong.
    #[error("{0}")]
    Wrong(Problems),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    NoRandom,
}

/// The rules of one file of keys.
pub struct Rules {
    public: Vec<PathPattern>,
    /// Whether every path but the API's is open, since no key is for routes.
    routes_open: bool,
    entries: Vec<Entry>,
    /// Of this process alone: what is compared can not be known outside it.
    blind: hmac::Key,
}

struct Entry {
    name: String,
    /// The blinded digest of its key.
    blinded: Option<[u8; 32]>,
    secret: Option<hmac::Key>,
    admin: bool,
    routes: Vec<PathPattern>,
}

/// What the holder of a request may do.
pub(super) struct Admission {
    /// Whether the management API is open to it.
    pub(super) may_manage: bool,
    /// What is still to be held against the body.
    pub(super) signed: Option<Signed>,
}

/// What a path takes.
enum Wanted {
    Nothing,
    Key,
    Admin,
}

/// The keys that a head shows.
struct Shown {
    count: usize,
    /// The entry of one that is right.
    entry: Option<usize>,
}

impl Rules {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, KeysFileError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(KeysFileError::Read(io::Error::other("it is not a file")));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(KeysFileError::Mode(mode));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(KeysFileError::TooLarge);
        }
        let text = String::from_utf8(bytes).map_err(|_| KeysFileError::NotText)?;
        Self::new(ApiKeys::parse(&text).map_err(KeysFileError::Wrong)?)
    }

    /// The rules of a file that was read.
    pub fn new(keys: ApiKeys) -> Result<Self, KeysFileError> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| KeysFileError::NoRandom)?;
        let blind = hmac::Key::new(hmac::HMAC_SHA256, &random);
        let routes_open = keys.keys.iter().all(|key| key.routes.is_empty());
        let entry = |key: ApiKey| Entry {
            name: key.name.as_str().to_owned(),
            blinded: key.sha256.map(|digest| blinded(&blind, digest.as_bytes())),
            secret: key.hmac_secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret)),
            admin: key.admin,
            routes: key.routes,
        };
        let entries = keys.keys.into_iter().map(entry).collect();
        Ok(Self { public: keys.public, routes_open, entries, blind })
    }

    /// What the holder of this head may do, at this time in seconds since 1970.
    pub(super) fn admit(&self, head: &mut Incoming, now: u64) -> Result<Admission, Refusal> {
        let doubled = ["authorization", "x-api-key"]
            .iter()
            .any(|name| head.headers.iter().filter(|(other, _)| other == name).count() > 1);
        // Even where no key is wanted: no guest may see one that was shown.
        let shown = self.take_keys(&mut head.headers);
        let spellings = spellings(&head.path);
        let path = readings(&spellings);
        let wanted = self.wanted(&head.path, &path);
        if matches!(wanted, Wanted::Nothing) {
            return Ok(Admission { may_manage: false, signed: None });
        }
        let is_signed = signature::is_signed(&head.headers);
        let (entry, signed) = match shown {
            _ if doubled => return Err(Refusal::Ambiguous),
            Shown { count: 0, .. } if is_signed => {
                let (entry, signed) = self.signer(head, now)?;
                (entry, Some(signed))
            }
            Shown { count: 0, .. } => return Err(Refusal::NoKey),
            Shown { count: 1, entry } if !is_signed => {
                let entry = entry.and_then(|index| self.entries.get(index));
                (entry.ok_or(Refusal::WrongKey)?, None)
            }
            Shown { .. } => return Err(Refusal::Ambiguous),
        };
        let opens = match wanted {
            Wanted::Admin | Wanted::Nothing => entry.admin,
            Wanted::Key => entry.admin || all_covered(&entry.routes, &path),
        };
        if opens { Ok(Admission { may_manage: entry.admin, signed }) } else { Err(Refusal::NotOpened) }
    }

    /// What a path takes. It is open only where it is in every way that it may be read, and the API's where it is in
    /// any.
    fn wanted(&self, path: &str, readings: &[Vec<&str>]) -> Wanted {
        let read = |reading: &Vec<&str>| {
            let begin = reading.get(..SEGMENTS_OF_API).unwrap_or(reading);
            is_of_api(&format!("/{}", begin.join("/")))
        };
        match is_of_api(path) || readings.iter().any(read) {
            true => Wanted::Admin,
            false if self.routes_open || all_covered(&self.public, readings) => Wanted::Nothing,
            false => Wanted::Key,
        }
    }

    /// Finds the keys that headers show, and takes those that are right out of them.
    fn take_keys(&self, headers: &mut Vec<(String, Vec<u8>)>) -> Shown {
        let mut shown = Shown { count: 0, entry: None };
        headers.retain(|(name, value)| {
            let key = match name.as_str() {
                "x-api-key" => value.trim_ascii(),
                "authorization" => match bearer(value) {
                    Some(key) => key,
                    None => return true,
                },
                _ => return true,
            };
            shown.count += 1;
            let found = self.entry_of(key);
            shown.entry = shown.entry.or(found);
            found.is_none()
        });
        shown
    }

    /// The entry of a key. All are looked at, and each to its end.
    fn entry_of(&self, key: &[u8]) -> Option<usize> {
        let key = blinded(&self.blind, digest::digest(&digest::SHA256, key).as_ref());
        let mut found = None;
        for (index, entry) in self.entries.iter().enumerate() {
            let other = entry.blinded.unwrap_or_default();
            let difference = key.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
            if difference == 0 && entry.blinded.is_some() {
                found = Some(index);
            }
        }
        found
    }

    /// The entry whose signature a head carries.
    fn signer(&self, head: &Incoming, now: u64) -> Result<(&Entry, Signed), Refusal> {
        let signing = self.entries.iter().filter(|entry| entry.secret.is_some());
        let claim = signature::Claim::of(head).ok_or(Refusal::Malformed)?;
        let entry = signing.clone().find(|entry| entry.name == claim.key);
        // Who names no entry that signs waits for as long.
        let secret = entry.and_then(|entry| entry.secret.as_ref()).unwrap_or(&self.blind);
        let holds = claim.holds(head, secret);
        let Some(entry) = entry.filter(|_| holds) else { return Err(Refusal::BadSignature) };
        Ok((entry, claim.in_time(now, signing.count())?))
    }
}

fn blinded(blind: &hmac::Key, digest: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(blind, digest);
    tag.as_ref().try_into().unwrap_or_default()
}

/// Whether patterns cover a path in every way that it may be read.
fn all_covered(patterns: &[PathPattern], path: &[Vec<&str>]) -> bool {
    path.iter().all(|reading| patterns.iter().any(|pattern| covers(pattern, reading)))
}

/// What follows `Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(routes: &str) -> Rules {
        let digest = |key: &[u8]| {
            let digest = digest::digest(&digest::SHA256, key);
            digest.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        let text = format!(
            "public = [\"/pub/*\", \"/healthz\"]\n[[key]]\nname = \"ops\"\nsha256 = \"{}\"\nadmin = true\n\
             [[key]]\nname = \"web\"\nsha256 = \"{}\"\n{routes}",
            digest(b"of-ops"),
            digest(b"of-web")
        );
        Rules::new(ApiKeys::parse(&text).unwrap()).unwrap()
    }

    fn asked(rules: &Rules, path: &str, headers: &[(&str, &str)]) -> Result<(bool, usize), Refusal> {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        let mut head = Incoming { method: "GET".into(), path: path.into(), headers, ..Incoming::default() };
        rules.admit(&mut head, 0).map(|admission| (admission.may_manage, head.headers.len()))
    }

    #[test]
    fn a_key_opens_what_it_is_for_and_goes_no_further() {
        let rules = rules("routes = [\"/api/*\", \"/status\"]");
        let web = [("authorization", "Bearer of-web")];
        assert_eq!(asked(&rules, "/api/x", &web), Ok((false, 0)));
        assert_eq!(asked(&rules, "/api/x", &[("x-api-key", "of-web"), ("a", "b")]), Ok((false, 1)));
        assert_eq!(asked(&rules, "/api/x", &[("authorization", "bEARER  of-web ")]), Ok((false, 0)));
        assert_eq!(asked(&rules, "/other", &web), Err(Refusal::NotOpened));
        assert_eq!(asked(&rules, "/status", &web), Err(Refusal::NotOpened));
        assert_eq!(asked(&rules, "/api/x", &[]), Err(Refusal::NoKey));
        assert_eq!(asked(&rules, "/api/x", &[("authorization", "Basic of-web")]), Err(Refusal::NoKey));
        assert_eq!(asked(&rules, "/api/x", &[("x-api-key", "of-weB")]), Err(Refusal::WrongKey));
        assert_eq!(asked(&rules, "/api/x", &[("x-api-key", "")]), Err(Refusal::WrongKey));
        for path in ["/status", "/twinlet/logs", "/other", "/metrics"] {
            assert_eq!(asked(&rules, path, &[("x-api-key", "of-ops")]), Ok((true, 0)), "{path}");
        }
        let both = [("authorization", "Bearer of-web"), ("x-api-key", "of-web")];
        assert_eq!(asked(&rules, "/api/x", &both), Err(Refusal::Ambiguous));
        let twice = [("authorization", "Bearer of-web"), ("authorization", "Basic x")];
        assert_eq!(asked(&rules, "/api/x", &twice), Err(Refusal::Ambiguous));
    }

    #[test]
    fn a_path_is_open_only_in_every_reading_and_the_apis_in_any() {
        let rules = rules("routes = [\"/api/*\"]");
        for open in ["/pub", "/pub/x", "/pub/%61", "/healthz", "/pub/a/../b", "//pub/x"] {
            assert_eq!(asked(&rules, open, &[("x-own", "1")]), Ok((false, 1)), "{open}");
        }
        for shut in [
            "/pub/../x",
            "/pub/%2e%2e/x",
            "/pub/..%2fx",
            "/pub/%252e%252e/x",
            "/pub/..\\x",
            "/x/../pub/y",
            "/%70ub/x",
            "/pub%2fx",
            "/pub\\x",
            "/metrics",
            "/",
        ] {
            assert_eq!(asked(&rules, shut, &[]), Err(Refusal::NoKey), "{shut}");
        }
        let web = [("x-api-key", "of-web")];
        for shut in [
            "/%73tatus",
            "/x/../status",
            "/api/../status",
            "/status/",
            "//status",
            "/twinlet%2Flogs",
            "/twinlet//x",
        ] {
            assert_eq!(asked(&rules, shut, &web), Err(Refusal::NotOpened), "{shut}");
        }
        assert_eq!(asked(&rules, "/api/..%2fx", &web), Err(Refusal::NotOpened));
    }

    #[test]
    fn without_a_key_for_routes_these_are_open_and_the_api_is_not() {
        let rules = rules("admin = true");
        assert_eq!(asked(&rules, "/any", &[]), Ok((false, 0)));
        // One that is right is taken out all the same, one that is another's stays.
        assert_eq!(asked(&rules, "/any", &[("x-api-key", "of-web")]), Ok((false, 0)));
        assert_eq!(
            asked(&rules, "/any", &[("x-api-key", "else"), ("authorization", "Bearer else")]),
            Ok((false, 2))
        );
        assert_eq!(asked(&rules, "/status", &[]), Err(Refusal::NoKey));
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let wrong = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Rules::read(&path).err().unwrap().to_string()
        };
        std::fs::write(&path, "").unwrap();
        assert!(wrong(0o644).starts_with("its mode is 0644"));
        assert!(wrong(0o602).starts_with("its mode is 0602"));
        assert!(wrong(0o640).contains("key: is missing"));
        assert!(Rules::read(dir.path()).is_err() && Rules::read(&dir.path().join("none")).is_err());
    }
}
