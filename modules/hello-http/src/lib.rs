//! Says hello on `/hello`, and echoes what it is sent everywhere else; knows nothing of who calls it.

use twinlet_guest::prelude::*;

http_function!(handle);

fn handle(request: Request) -> Result<Response, Error> {
    match (request.method(), request.path()) {
        ("GET" | "HEAD", path) if path == "/hello" || path.starts_with("/hello/") => Ok(hello(&request)),
        _ => Ok(echo(request)?),
    }
}

fn hello(request: &Request) -> Response {
    let query = request.query("name");
    let name = request.param("name").or(query.as_deref()).filter(|name| !name.is_empty());
    Response::ok().text(["Hello, ", name.unwrap_or("world"), "!\n"].concat())
}

/// The body goes back byte for byte under the content type it came with; what else was sent comes as headers.
fn echo(request: Request) -> Result<Response, BadRequest> {
    let content_type = request.header_values("content-type").next().unwrap_or(b"application/octet-stream");
    let mut response = Response::status(echo_status(&request)?)
        .append_header("content-type", content_type)
        .append_header("x-echo-method", request.method())
        .append_header("x-echo-path", request.path());
    if let Some(query) = request.query_string() {
        response = response.append_header("x-echo-query", query);
    }
    // Not those that a script in a browser must never get to read.
    for (name, value) in request.headers().filter(|(name, _)| !matches!(*name, "authorization" | "cookie")) {
        response = response.append_header(&["x-echo-header-", name].concat(), value);
    }
    Ok(response.bytes(request.into_body()))
}

fn echo_status(request: &Request) -> Result<u16, BadRequest> {
    let Some(text) = request.header("x-echo-status") else { return Ok(200) };
    let status = text.parse().ok().filter(|status| (200..600).contains(status));
    status.ok_or_else(|| BadRequest::new("x-echo-status: not a status from 200 to 599"))
}

#[cfg(test)]
mod tests {
    use twinlet_guest::testing::call;

    use super::*;

    fn text(request: Request) -> String {
        call(handle, request).unwrap().body_text().into_owned()
    }

    #[test]
    fn hello_names_the_route_parameter_then_the_query_then_the_world() {
        assert_eq!(text(Request::get("/hello")), "Hello, world!\n");
        assert_eq!(text(Request::get("/hello?name=")), "Hello, world!\n");
        assert_eq!(text(Request::get("/hello?name=Ann%20%C3%A9")), "Hello, Ann é!\n");
        assert_eq!(text(Request::get("/hello/Bo?name=Ann").with_param("name", "Bo")), "Hello, Bo!\n");
    }

    #[test]
    fn everything_else_is_echoed_byte_for_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        let request = Request::new("PUT", "/any/%41?a=%20b")
            .with_header("content-type", "image/png")
            .with_header("x-tag", [0xff])
            .with_header("cookie", "secret")
            .with_body(bytes.clone());
        let response = call(handle, request).unwrap();
        assert_eq!((response.status_code(), response.body()), (200, bytes.as_slice()));
        let headers: Vec<(&str, &[u8])> = response.headers().collect();
        let expected: [(&str, &[u8]); 6] = [
            ("content-type", b"image/png"),
            ("x-echo-method", b"PUT"),
            ("x-echo-path", b"/any/%41"),
            ("x-echo-query", b"a=%20b"),
            ("x-echo-header-content-type", b"image/png"),
            ("x-echo-header-x-tag", &[0xff]),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn the_status_is_what_was_asked_for_or_400() {
        let asking = |status: &str| Request::post("/", "x").with_header("x-echo-status", status);
        assert_eq!(call(handle, asking("418")).unwrap().status_code(), 418);
        for bad in ["", "99", "600", "70000", "-1", "many"] {
            let response = call(handle, asking(bad)).unwrap();
            assert_eq!(response.status_code(), 400);
            assert!(response.body_text().contains("x-echo-status"));
        }
    }
}
