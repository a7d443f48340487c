//! Artifacts over HTTP: one request at a time, its redirects, and the continuation of what is there already. Knows
//! nothing of where bytes go.

use std::io::Read;
use std::time::{Duration, Instant};

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap,
    HeaderName, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};
use http::{Response, StatusCode, Uri};
use twinlet_host::http_client::Proxies;
use ureq::{Agent, Body, ProxyProtocol};

use super::url::{follow, origin, shown};
use super::{FetchError, Given, Have, Trust};
use crate::config::Fetch;

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Bytes of a refusal that are read for its reason.
const REASON_BYTES: usize = 4 << 10;
/// How long they may take, beside one last read.
const REASON_TIME: Duration = Duration::from_secs(5);
/// The longest validator that is kept.
const MAX_VALIDATOR: usize = 1_024;
/// Bytes of a response's head, and of what is read at once.
const INPUT_BYTES: usize = 32 << 10;
/// Bytes that are written at once: a request has no body.
const OUTPUT_BYTES: usize = 16 << 10;
const USER_AGENT: &str = concat!("twinlet/", env!("CARGO_PKG_VERSION"));

/// Sends requests as the settings say.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) settings: &'a Fetch,
    pub(super) trust: &'a Trust,
}

/// A GET.
#[derive(Clone, Default)]
pub(super) struct Get<'a> {
    pub(super) headers: Vec<(HeaderName, String)>,
    /// Sent to the URL's own origin, never to where it redirects.
    pub(super) authorization: Option<&'a str>,
    /// How long all of it may take; none where the body is watched by its reader.
    pub(super) whole: Option<Duration>,
}

impl Client<'_> {
    /// Opens an artifact, from where it is to be continued if the server can do that.
    pub(super) fn open(
        &self,
        url: &str,
        have: &Have,
        authorization: Option<&str>,
    ) -> Result<Given, FetchError> {
        let whole = Get { authorization, ..Get::default() };
        if have.bytes > 0 {
            let mut rest = whole.clone();
            rest.headers.push((RANGE, format!("bytes={}-", have.bytes)));
            rest.headers.extend(have.validator.clone().map(|validator| (IF_RANGE, validator)));
            let (at, answer) = self.get(url, &rest)?;
            match answer.status() {
                StatusCode::PARTIAL_CONTENT => match continued(answer.headers(), have) {
                    Ok(total) => return given(&at, answer, have.bytes, Some(total)),
                    Err(why) => log::info!("{}: {why}; the download begins anew", shown(url)),
                },
                StatusCode::OK => return from_the_start(&at, answer),
                StatusCode::RANGE_NOT_SATISFIABLE => {
                    log::info!("{}: there is nothing to continue at; the download begins anew", shown(url));
                }
                _ => return Err(refusal(&at, answer)),
            }
        }
        let (at, answer) = self.get(url, &whole)?;
        if answer.status() == StatusCode::OK {
            from_the_start(&at, answer)
        } else {
            Err(refusal(&at, answer))
        }
    }

    /// Sends a request and follows its redirects. Returns who answered in the end, and what.
    pub(super) fn get(&self, url: &str, get: &Get<'_>) -> Result<(String, Response<Body>), FetchError> {
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let authorization = get.authorization.filter(|_| origin(&at) == origin(url));
            let answer = self.send(&at, get, authorization)?;
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            match to.filter(|_| matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308)) {
                None => return Ok((at, answer)),
                Some(to) => at = redirected(&at, to)?,
            }
        }
        Err(refused(url, "redirects again and again"))
    }

    fn send(
        &self,
        url: &str,
        get: &Get<'_>,
        authorization: Option<&str>,
    ) -> Result<Response<Body>, FetchError> {
        let uri: Uri = url.parse().map_err(|_| refused(url, "is not a URL"))?;
        let settings = self.settings;
        let proxy = Proxies::of_this_process().of(&uri);
        let proxy_by_tls = proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .input_buffer_size(INPUT_BYTES)
            .max_response_header_size(INPUT_BYTES)
            .output_buffer_size(OUTPUT_BYTES)
            .proxy(proxy)
            .timeout_global(get.whole)
            .timeout_connect(Some(settings.connect_timeout))
            .timeout_recv_response(Some(settings.stall_timeout))
            .timeout_per_read(Some(settings.stall_timeout));
        if uri.scheme_str() == Some("https") || proxy_by_tls {
            config = config.tls_config(self.trust.tls(settings.ca_file.as_deref())?);
        }
        // An agent for this one request, so that an idle gateway holds no connection and no buffers.
        let agent = twinlet_host::http_client::agent(config.build());
        let mut request = agent.get(url).header(ACCEPT_ENCODING, "identity");
        for (name, value) in &get.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.call().map_err(|source| FetchError::Network { url: shown(url), source })
    }
}

/// What a server says beside a status that is no success.
pub(super) fn refusal(url: &str, answer: Response<Body>) -> FetchError {
    let status = answer.status().as_u16();
    let code = code_of(&beginning(answer.into_body().into_reader()));
    let reason = code.map(|code| format!(" ({code})")).unwrap_or_default();
    FetchError::Status { url: shown(url), status, reason }
}

/// The beginning of a refusal, as far as it comes soon: the status alone says enough.
fn beginning(mut body: impl Read) -> Vec<u8> {
    let (began, mut text) = (Instant::now(), vec![0; REASON_BYTES]);
    let mut len = 0;
    while began.elapsed() < REASON_TIME {
        match body.read(text.get_mut(len..).unwrap_or_default()) {
            Ok(n @ 1..) => len = len.saturating_add(n),
            _ => break,
        }
    }
    text.truncate(len);
    text
}

pub(super) fn refused(url: &str, why: impl Into<String>) -> FetchError {
    FetchError::Refused { url: shown(url), why: why.into() }
}

/// The error code of an object store's XML, or of a registry's JSON.
fn code_of(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let code = match text.split_once("<Code>") {
        Some((_, rest)) => rest.split_once("</Code>")?.0.to_owned(),
        None => {
            let value: serde_json::Value = serde_json::from_str(text).ok()?;
            value.get("errors")?.get(0)?.get("code")?.as_str()?.to_owned()
        }
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    ((1..=64).contains(&code.len()) && code.bytes().all(plain)).then_some(code)
}

fn redirected(from: &str, location: &str) -> Result<String, FetchError> {
    let to = follow(from, location);
    let scheme = to.split_once("://").map_or("", |(scheme, _)| scheme);
    if scheme.eq_ignore_ascii_case("https") {
        return Ok(to);
    }
    if scheme.eq_ignore_ascii_case("http") {
        if from.starts_with("http://") {
            return Ok(to);
        }
        return Err(refused(from, format!("redirects to {}, which is not encrypted", shown(&to))));
    }
    Err(refused(from, "redirects to what is neither http:// nor https://"))
}

/// The size of the whole that a 206 continues; else why it does not continue what is there.
fn continued(headers: &HeaderMap, have: &Have) -> Result<u64, &'static str> {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let (first, total) = range.and_then(content_range).ok_or("answers 206 without a Content-Range")?;
    if first != have.bytes {
        return Err("answers another range than it was asked for");
    }
    if have.total.is_some_and(|known| known != total) {
        return Err("what is there now has another size");
    }
    // A server that does not know If-Range would give the rest of another file.
    match (have.validator.as_deref(), validator(headers)) {
        (Some(known), Some(now)) if known != now && known.starts_with('"') == now.starts_with('"') => {
            Err("what is there now is another file")
        }
        _ => Ok(total),
    }
}

/// First byte and whole size of `bytes first-last/size`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total.parse().ok()?);
    (first <= last && last < total).then_some((first, total))
}

fn from_the_start(url: &str, answer: Response<Body>) -> Result<Given, FetchError> {
    let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    given(url, answer, 0, length)
}

fn given(url: &str, answer: Response<Body>, from: u64, total: Option<u64>) -> Result<Given, FetchError> {
    let coding = answer.headers().get(CONTENT_ENCODING).map(|coding| coding.to_str().unwrap_or("?"));
    if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(FetchError::Encoded { url: shown(url), coding: coding.chars().take(40).collect() });
    }
    let validator = validator(answer.headers());
    Ok(Given { body: Box::new(answer.into_body().into_reader()), from, total, validator })
}

/// What `If-Range` takes: a strong `ETag`, else `Last-Modified`.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().filter(|text| text.len() <= MAX_VALIDATOR);
    let etag = text(ETAG).filter(|etag| etag.starts_with('"'));
    etag.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_rest_of_the_same_file_continues_it() {
        let have = Have { bytes: 10, validator: Some("\"a\"".into()), total: Some(30) };
        let answer =
            |range: &str, etag: &str| continued(&headers(&[(CONTENT_RANGE, range), (ETAG, etag)]), &have);
        assert_eq!(answer("bytes 10-29/30", "\"a\""), Ok(30));
        assert_eq!(answer("bytes 10-19/30", "\"a\""), Ok(30), "a part of the rest is some of it");
        for (range, etag) in [
            ("bytes 0-29/30", "\"a\""),
            ("bytes 11-29/30", "\"a\""),
            ("bytes 10-30/31", "\"a\""),
            ("bytes 10-29/*", "\"a\""),
            ("bytes 10-30/30", "\"a\""),
            ("bytes 10-9/30", "\"a\""),
            ("10-29/30", "\"a\""),
            ("bytes 10-29/30", "\"b\""),
        ] {
            assert!(answer(range, etag).is_err(), "{range} {etag}");
        }
        assert!(continued(&HeaderMap::new(), &have).is_err());
    }

    #[test]
    fn a_weak_etag_validates_nothing() {
        let date = "Sat, 01 Jan 2022 00:00:00 GMT";
        assert_eq!(validator(&headers(&[(ETAG, "\"a\""), (LAST_MODIFIED, date)])).as_deref(), Some("\"a\""));
        assert_eq!(validator(&headers(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, date)])).as_deref(), Some(date));
        assert_eq!(validator(&headers(&[(ETAG, "W/\"a\"")])), None);
    }

    #[test]
    fn a_redirect_never_leaves_encryption() {
        assert!(redirected("http://a/x", "http://b/y").is_ok());
        assert!(redirected("http://a/x", "https://b/y").is_ok());
        assert!(redirected("https://a/x", "/y").is_ok());
        assert!(redirected("https://a/x", "http://a/y").is_err());
        assert!(redirected("http://a/x", "file:///etc/passwd").is_err());
    }

    #[test]
    fn a_refusal_s_code_is_read_from_xml_and_json() {
        let xml = b"<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code></Error>";
        assert_eq!(code_of(xml).as_deref(), Some("SignatureDoesNotMatch"));
        let json = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}"#;
        assert_eq!(code_of(json).as_deref(), Some("MANIFEST_UNKNOWN"));
        for odd in [&b"no such artifact"[..], b"<Code>a b</Code>", b"<Code></Code>", b"{}", b"\xff"] {
            assert_eq!(code_of(odd), None);
        }
    }
}
