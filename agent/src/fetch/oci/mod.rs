//! Artifacts of a registry, by the OCI distribution API: the manifest says which blob is the component, and the blob is
//! a download like any other. A registry may ask who is there, see [`challenge`].
//!
//! The layout is the CNCF's for Wasm: one layer of `application/wasm`.

mod challenge;
mod manifest;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use sha2::{Digest, Sha256 as Hasher};

use super::http::{Client, Get, refusal, refused};
use super::url::{encoded, is_loopback};
use super::{FetchError, Given, Have};
use crate::config::Oci;
use crate::desired::{OciReference, Sha256};
use challenge::Challenge;

/// The largest manifest, and the largest answer that holds a token.
const MAX_DOCUMENT: u64 = 1 << 20;

/// What of an artifact is known beforehand.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) sha256: Sha256,
    pub(super) size: Option<u64>,
}

/// One registry, and what lets us in.
struct Registry<'a> {
    client: Client<'a>,
    settings: &'a Oci,
    /// As desired state has it, for errors.
    url: &'a str,
    reference: OciReference<'a>,
    /// `https://registry` or `http://registry`.
    base: String,
    /// The value of `Authorization`, once the registry has asked for one. Never logged.
    authorization: Option<String>,
}

/// Opens the component that a reference names, from where it is to be continued.
pub(super) fn open(
    client: Client<'_>,
    url: &str,
    expected: Expected,
    have: &Have,
) -> Result<Given, FetchError> {
    let settings = &client.settings.oci;
    let reference = OciReference::parse(url).map_err(|why| refused(url, why))?;
    let plain =
        is_loopback(reference.registry) || settings.plain_http.iter().any(|r| r == reference.registry);
    let scheme = if plain { "http" } else { "https" };
    let base = format!("{scheme}://{}", reference.registry);
    let mut registry = Registry { client, settings, url, reference, base, authorization: None };
    let manifest = registry.manifest()?;
    let layer = manifest::layer(&manifest).map_err(|why| refused(url, why))?;
    let wanted = format!("sha256:{}", expected.sha256);
    if layer.digest != wanted {
        let digest = layer.digest;
        return Err(refused(url, format!("its layer is {digest}, where desired state says {wanted}")));
    }
    if let Some(size) = expected.size.filter(|size| *size != layer.size) {
        return Err(FetchError::Size { expected: size, received: layer.size });
    }
    let blob = format!("{}/v2/{}/blobs/{wanted}", registry.base, reference.name);
    let mut given = client.open(&blob, have, registry.authorization.as_deref())?;
    given.total = given.total.or(Some(layer.size));
    Ok(given)
}

impl Registry<'_> {
    fn manifest(&mut self) -> Result<Vec<u8>, FetchError> {
        let place =
            format!("{}/v2/{}/manifests/{}", self.base, self.reference.name, self.reference.reference);
        let (mut at, mut answer) = self.ask(&place)?;
        if answer.status() == 401 && self.authorization.is_none() {
            self.authorization = Some(self.authorized(answer.headers())?);
            (at, answer) = self.ask(&place)?;
        }
        if answer.status() != 200 {
            return Err(explained(refusal(&at, answer)));
        }
        let manifest = self.document(answer)?;
        let found = Sha256::from_bytes(Hasher::digest(&manifest).into()).to_string();
        match self.reference.digest() {
            Some(wanted) if wanted != found => {
                Err(refused(self.url, format!("the manifest that came is sha256:{found}")))
            }
            _ => Ok(manifest),
        }
    }

    fn ask(&self, url: &str) -> Result<(String, http::Response<ureq::Body>), FetchError> {
        let headers = vec![(ACCEPT, manifest::MEDIA_TYPE.to_owned())];
        let authorization = self.authorization.as_deref();
        self.client.get(url, &Get { headers, authorization, whole: Some(self.patience()) })
    }

    /// Answers a registry's question who is there.
    fn authorized(&self, headers: &HeaderMap) -> Result<String, FetchError> {
        let asked = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match challenge::best(asked) {
            Some(Challenge::Basic) => self.basic().ok_or_else(|| {
                let settings = "set oci_registry, oci_username and oci_password";
                refused(self.url, format!("the registry asks for a user and a password: {settings}"))
            }),
            Some(Challenge::Bearer { realm, service, scope }) => {
                self.token(&realm, service.as_deref(), scope.as_deref())
            }
            None => {
                Err(refused(self.url, "the registry asks who is there, but neither by Bearer nor by Basic"))
            }
        }
    }

    /// User and password as they are sent; only for the registry whose they are.
    fn basic(&self) -> Option<String> {
        let settings = self.settings;
        if settings.registry.as_deref() != Some(self.reference.registry) {
            return None;
        }
        let (user, password) = (settings.username.as_deref()?, settings.password.as_ref()?);
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
    }

    /// Gets a token from where the registry says, as the user if there is one for this registry, else as anybody.
    fn token(&self, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<String, FetchError> {
        // What may be sent in the open to the registry may be so to who speaks for it.
        let in_the_open = realm.starts_with("http://") && self.base.starts_with("http://");
        if !realm.starts_with("https://") && !in_the_open {
            return Err(refused(self.url, "the registry asks for a token from what is no https:// URL"));
        }
        let pull = format!("repository:{}:pull", self.reference.name);
        let mut place = format!("{realm}{}", if realm.contains('?') { '&' } else { '?' });
        if let Some(service) = service {
            place.push_str(&format!("service={}&", encoded(service)));
        }
        place.push_str(&format!("scope={}", encoded(scope.unwrap_or(&pull))));
        let user = self.basic();
        let get = Get { headers: vec![], authorization: user.as_deref(), whole: Some(self.patience()) };
        let (at, answer) = self.client.get(&place, &get)?;
        if answer.status() != 200 {
            return Err(explained(refusal(&at, answer)));
        }
        let text = self.document(answer)?;
        let value: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        let token =
            value.as_ref().and_then(|it| it.get("token").or_else(|| it.get("access_token"))?.as_str());
        let visible = |token: &&str| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        match token.filter(visible) {
            Some(token) => Ok(format!("Bearer {token}")),
            None => Err(refused(&at, "gives no token")),
        }
    }

    fn document(&self, answer: http::Response<ureq::Body>) -> Result<Vec<u8>, FetchError> {
        use std::io::Read;
        let mut text = Vec::new();
        let read = answer.into_body().into_reader().take(MAX_DOCUMENT + 1).read_to_end(&mut text);
        let received = text.len() as u64;
        match read {
            Err(source) => Err(FetchError::Read { url: self.url.to_owned(), received, source }),
            Ok(_) if received > MAX_DOCUMENT => {
                Err(refused(self.url, format!("the registry answers with more than {MAX_DOCUMENT} bytes")))
            }
            Ok(_) => Ok(text),
        }
    }

    fn patience(&self) -> Duration {
        self.client.settings.connect_timeout.saturating_add(self.client.settings.stall_timeout)
    }
}

fn explained(error: FetchError) -> FetchError {
    match error {
        FetchError::Status { url, status: status @ (401 | 403), reason } => {
            let advice = ": check oci_registry, oci_username and oci_password";
            FetchError::Status { url, status, reason: reason + advice }
        }
        other => other,
    }
}
