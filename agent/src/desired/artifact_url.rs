//! Where an artifact is to be had: the schemes of `artifact_url`, and the parts of those that are no plain URLs. Opens
//! nothing.

/// The longest URL in bytes.
const MAX_URL: usize = 2_048;

/// An object of the object store: `s3://bucket/key`. The key is taken as it stands, without percent-decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct S3Object<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key, without a slash at its beginning.
    pub key: &'a str,
}

/// An artifact of a registry: `oci://registry[:port]/name[:tag|@sha256:digest]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OciReference<'a> {
    /// The registry's host, with its port where one is named.
    pub registry: &'a str,
    /// The repository.
    pub name: &'a str,
    /// The tag, `latest` where none is named, or the manifest's digest as `sha256:` and 64 hex digits.
    pub reference: &'a str,
}

impl<'a> S3Object<'a> {
    /// The parts of a URL, or what is wrong with it as the rest of a sentence.
    pub fn parse(url: &'a str) -> Result<Self, &'static str> {
        let rest = url.strip_prefix("s3://").unwrap_or(url);
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = bucket.as_bytes();
        if !bytes.iter().copied().all(plain) || !ends(bytes.first()) || !ends(bytes.last()) {
            return Err("names no bucket; s3://bucket/key is wanted");
        }
        // A client resolves dots as in a path, and would ask for another object.
        if key.is_empty() || key.starts_with('/') || key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err("names no key of its bucket; s3://bucket/key is wanted, without `.` and `..`");
        }
        Ok(Self { bucket, key })
    }
}

impl<'a> OciReference<'a> {
    /// The parts of a URL, or what is wrong with it as the rest of a sentence.
    pub fn parse(url: &'a str) -> Result<Self, &'static str> {
        const FORM: &str = "is not oci://registry[:port]/name[:tag] or …/name@sha256:digest";
        let rest = url.strip_prefix("oci://").unwrap_or(url);
        let (registry, path) = rest.split_once('/').ok_or(FORM)?;
        let (tagged, digest) = match path.split_once('@') {
            Some((tagged, digest)) => (tagged, Some(digest)),
            None => (path, None),
        };
        let (name, tag) = tagged.split_once(':').unwrap_or((tagged, "latest"));
        let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if registry.is_empty() || !registry.bytes().all(host) {
            return Err(FORM);
        }
        if !name.split('/').all(is_component) {
            return Err(
                "has a repository name that is not lower-case letters, digits, `.`, `_`, `-` and `/`",
            );
        }
        if !is_tag(tag) || digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(FORM);
        }
        Ok(Self { registry, name, reference: digest.unwrap_or(tag) })
    }

    /// The manifest's digest in hex, where the reference is one.
    pub fn digest(&self) -> Option<&'a str> {
        self.reference.strip_prefix("sha256:")
    }
}

fn is_component(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    part.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
        && part.bytes().next().is_some_and(plain)
        && part.bytes().next_back().is_some_and(plain)
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Whether an artifact's URL stands by itself; else it is relative to the control plane's.
pub fn is_absolute(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?', '#']))
}

/// What is wrong with an `artifact_url`, as the rest of a sentence.
pub(super) fn wrong_url(url: &str) -> Option<String> {
    if url.is_empty() || url.len() > MAX_URL || url.chars().any(|c| c.is_control() || c == ' ') {
        return Some("is not a URL".into());
    }
    match url.split_once("://").filter(|_| is_absolute(url)) {
        None | Some(("http" | "https" | "file" | "upload", _)) => None,
        Some(("s3", _)) => S3Object::parse(url).err().map(Into::into),
        Some(("oci", _)) => OciReference::parse(url).err().map(Into::into),
        Some((scheme, _)) => {
            Some(format!("`{scheme}` is not one of the schemes http, https, file, s3, oci and upload"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_bucket_and_a_key() {
        let object = S3Object { bucket: "artifacts", key: "a/b c?.wasm" };
        assert_eq!(S3Object::parse("s3://artifacts/a/b c?.wasm"), Ok(object));
        for bad in ["s3://", "s3://b", "s3://b/", "s3:///k", "s3://b//k", "s3://b/../k", "s3://u@b/k"] {
            assert!(S3Object::parse(bad).is_err(), "{bad}");
            assert!(wrong_url(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_reference_has_a_registry_a_name_and_a_tag_or_digest() {
        fn parsed(url: &str) -> Result<(&str, &str, &str), &'static str> {
            OciReference::parse(url).map(|it| (it.registry, it.name, it.reference))
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(parsed("oci://localhost:5000/a/b:v1"), Ok(("localhost:5000", "a/b", "v1")));
        assert_eq!(parsed("oci://ghcr.io/a/b"), Ok(("ghcr.io", "a/b", "latest")));
        for url in [format!("oci://[::1]:5/a@{digest}"), format!("oci://[::1]:5/a:v1@{digest}")] {
            assert_eq!(parsed(&url), Ok(("[::1]:5", "a", digest.as_str())));
        }
        for bad in [
            "oci://ghcr.io",
            "oci:///a",
            "oci://ghcr.io/",
            "oci://ghcr.io/A",
            "oci://ghcr.io/a//b",
            "oci://ghcr.io/../v2",
            "oci://ghcr.io/a:",
            "oci://ghcr.io/a:-x",
            "oci://ghcr.io/a@sha256:ab",
            "oci://user:pw@ghcr.io/a",
            "oci://ghcr.io/a?x=1",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
            assert!(wrong_url(bad).is_some(), "{bad}");
        }
    }
}
