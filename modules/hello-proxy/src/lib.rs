//! Says hello, echoes, counts and fetches, each piece by piece: a component of `wasi:http/proxy@0.2` that any host of
//! that world runs. Knows nothing of twinlet.

mod answer;
mod bindings;
mod fetch;
mod query;

use answer::{Answer, Broken, Pieces};
use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::http::types::{ErrorCode, IncomingRequest, Method, ResponseOutparam};

struct HelloProxy;
bindings::export!(HelloProxy with_types_in bindings);

impl Guest for HelloProxy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
        // What stands before the last segment is the route's business.
        let what = path.rsplit('/').next().unwrap_or_default();
        let answered = match (request.method(), what) {
            (Method::Get | Method::Head, "hello") => hello(query, out),
            (Method::Post, "echo") => echo(&request, out),
            (Method::Get, "count") => count(query, out),
            (Method::Get, "fetch") => fetch::fetch(query, out),
            _ => Answer::text(out, 404, "Not here: try /hello, /echo, /count or /fetch.\n"),
        };
        // What was begun and not finished the client sees as broken; there is nobody else to tell.
        drop(answered);
    }
}

fn hello(query: &str, out: ResponseOutparam) -> Result<(), Broken> {
    let name = query::get(query, "name").filter(|name| !name.is_empty());
    Answer::text(out, 200, &["Hello, ", name.as_deref().unwrap_or("world"), "!\n"].concat())
}

/// Each piece of the body goes back as it comes, under the content type that it came with.
fn echo(request: &IncomingRequest, out: ResponseOutparam) -> Result<(), Broken> {
    let content_type = request.headers().get("content-type").into_iter().next();
    let mut pieces = Pieces::of(request.consume()?)?;
    // As long as nothing has gone back, what is wrong with the body can still be said.
    let first = match pieces.next() {
        Ok(first) => first,
        Err(ErrorCode::HttpRequestBodySize(_)) => return Answer::text(out, 413, "That is too much.\n"),
        Err(code) => return Answer::text(out, 400, &format!("{code:?}\n")),
    };
    let answer = Answer::begin(out, 200, content_type.map(|value| ("content-type", value)))?;
    if let Some(first) = first {
        answer.write(&first)?;
        while let Some(piece) = pieces.next().map_err(|_| Broken)? {
            answer.write(&piece)?;
        }
    }
    answer.finish()
}

/// So many lines, with a pause before each but the first.
fn count(query: &str, out: ResponseOutparam) -> Result<(), Broken> {
    let number = |name, default| query::get(query, name).map_or(Some(default), |text| text.parse().ok());
    let (Some(to), Some(every_ms)) = (number("to", 10_u64), number("every_ms", 1_000_u64)) else {
        return Answer::text(out, 400, "`to` and `every_ms` are numbers\n");
    };
    let answer = Answer::begin(out, 200, Some(("content-type", b"text/plain".to_vec())))?;
    for n in 1..=to {
        if n > 1 {
            monotonic_clock::subscribe_duration(every_ms.saturating_mul(1_000_000)).block();
        }
        answer.write(format!("{n}\n").as_bytes())?;
    }
    answer.finish()
}
