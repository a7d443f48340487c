//! What the quickstart prints.

use std::path::Path;

/// Prints a heading.
pub fn step(what: &str) {
    println!("\n== {what}");
}

/// Prints a line.
pub fn say(what: &str) {
    println!("   {what}");
}

/// A payload as text, cut to a screen's width.
pub fn short(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    if text.chars().count() <= 600 {
        text.into_owned()
    } else {
        text.chars().take(600).chain(['…']).collect()
    }
}

/// Makes a request, prints it and its answer, and returns status and body.
pub fn exchange(method: &str, url: &str, body: Option<&str>) -> anyhow::Result<(u16, String)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = match body {
        Some(body) => agent.post(url).header("content-type", "application/json").send(body)?,
        None => agent.get(url).call()?,
    };
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string()?;
    say(&format!("{method} {url} {}", body.unwrap_or_default()));
    say(&format!("  {status} {}", text.trim_end()));
    Ok((status, text))
}

/// Prints what there is to try.
pub fn curl_lines(base: &str, socket: &Path, broker_port: u16) {
    let socket = socket.display();
    for line in [
        format!("curl '{base}/hello?name=you'"),
        format!("curl -d '{{\"sensor\":\"t1\",\"value\":30}}' {base}/readings"),
        format!("curl {base}/metrics"),
        format!("curl --unix-socket {socket} http://local/readyz"),
        format!("mosquitto_sub -p {broker_port} -t 'edge/#' -v"),
    ] {
        say(&line);
    }
}
