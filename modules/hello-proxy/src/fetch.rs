//! A request to another server, and its answer passed through.

use crate::answer::{Answer, Broken, Pieces};
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, OutgoingRequest, ResponseOutparam, Scheme,
};
use crate::query;

/// Gets the URL that the query names. Where that fails the answer is 502 and the name of the error.
pub(crate) fn fetch(query: &str, out: ResponseOutparam) -> Result<(), Broken> {
    let url = query::get(query, "url").unwrap_or_default();
    let response = match get(&url) {
        Ok(response) => response,
        Err(code) => return Answer::text(out, 502, &format!("{code:?}\n")),
    };
    let content_type = response.headers().get("content-type").into_iter().next();
    let mut pieces = Pieces::of(response.consume()?)?;
    let answer = Answer::begin(out, response.status(), content_type.map(|value| ("content-type", value)))?;
    while let Some(piece) = pieces.next().map_err(|_| Broken)? {
        answer.write(&piece)?;
    }
    answer.finish()
}

fn get(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(path)).map_err(invalid)?;
    let answer = outgoing_handler::handle(request, None)?;
    answer.subscribe().block();
    // It is there, and is taken once.
    answer.get().and_then(Result::ok).unwrap_or(Err(ErrorCode::InternalError(None)))
}
