//! Greets whoever asks, with the greeting from this function's `config`.

use exports::twinlet::device::http_handler::{Guest, Request, Response};
use wasi::config::store;

wit_bindgen::generate!({ path: "wit", world: "function", generate_all });

struct Function;

export!(Function);

impl Guest for Function {
    fn handle(request: Request) -> Result<Response, String> {
        let greeting = store::get("greeting").map_err(|error| format!("config: {error:?}"))?;
        Ok(answer(&request, greeting.as_deref().unwrap_or("Hello")))
    }
}

/// All there is to decide; it calls nothing of the agent, so that it is tested natively.
fn answer(request: &Request, greeting: &str) -> Response {
    match request.method.as_str() {
        "GET" | "HEAD" => text(200, &format!("{greeting} from {}\n", request.path)),
        _ => text(405, "GET is all that there is\n"),
    }
}

fn text(status: u16, body: &str) -> Response {
    let headers = vec![("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
    Response { status, headers, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str) -> Request {
        Request {
            method: method.into(),
            path: "/here".into(),
            query: None,
            host: "localhost".into(),
            headers: Vec::new(),
            params: Vec::new(),
            body: Vec::new(),
            request_id: "1".into(),
        }
    }

    #[test]
    fn the_greeting_comes_from_the_config() {
        let answer = answer(&request("GET"), "Good morning");
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"Good morning from /here\n".as_slice()));
    }

    #[test]
    fn nothing_but_get_is_answered() {
        assert_eq!(answer(&request("POST"), "Hello").status, 405);
    }
}
