//! What functions do not see of a request unless their desired state asks for it: the headers by which its sender is
//! let in. Each function on a request's way sees what itself may, and hands on what it may not.

use twinlet_host::bindings::twinlet::device::types::Request;

use crate::desired::{Permissions, WITHHELD};

/// What begins so is between a client and the agent alone.
const OF_THE_AGENT: &str = "x-twinlet-";

/// Leaves only the headers that a function may see.
pub(super) fn withhold(headers: &mut Vec<(String, Vec<u8>)>, permissions: &Permissions) {
    headers.retain(|(name, _)| may_see(permissions, name));
}

/// Shows a request to one function on its way, which goes on whole.
pub(super) fn shown<R>(
    request: &mut Request,
    permissions: &Permissions,
    call: impl FnOnce(&Request) -> R,
) -> R {
    if request.headers.iter().all(|(name, _)| may_see(permissions, name)) {
        return call(request);
    }
    let seen = request.headers.iter().filter(|(name, _)| may_see(permissions, name)).cloned().collect();
    let whole = std::mem::replace(&mut request.headers, seen);
    let outcome = call(request);
    request.headers = whole;
    outcome
}

fn may_see(permissions: &Permissions, name: &str) -> bool {
    !name.starts_with(OF_THE_AGENT) && (!WITHHELD.contains(&name) || permissions.headers.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Vec<(String, Vec<u8>)> {
        ["accept", "authorization", "cookie", "x-api-key", "x-twinlet-signature", "x-twinlet-new", "x-own"]
            .map(|name| (name.to_owned(), vec![1]))
            .to_vec()
    }

    fn names(headers: &[(String, Vec<u8>)]) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_function_sees_what_it_asked_for_and_the_next_one_the_same_request() {
        let asks = Permissions { headers: vec!["cookie"], ..Permissions::default() };
        let mut seen = headers();
        withhold(&mut seen, &asks);
        assert_eq!(names(&seen), ["accept", "cookie", "x-own"]);
        let mut request = Request {
            method: "GET".into(),
            path: "/".into(),
            query: None,
            host: String::new(),
            headers: headers(),
            params: Vec::new(),
            body: Vec::new(),
            request_id: String::new(),
        };
        shown(&mut request, &Permissions::default(), |r| assert_eq!(names(&r.headers), ["accept", "x-own"]));
        shown(&mut request, &asks, |r| assert_eq!(names(&r.headers), ["accept", "cookie", "x-own"]));
        assert_eq!(request.headers, headers());
    }
}
