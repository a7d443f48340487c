//! The one linker of all guests, and the list of what a component may import.

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};

use crate::Guest;
use crate::bindings::twinlet::device::{
    clock, http_client, messaging, metrics, middleware_types, telemetry, twin, types,
};
use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::store as keyvalue;
use crate::bindings::wasi::logging::logging;
use crate::poll::{View, Waiting};
use crate::wasi_http;

/// What a component may import: interfaces by their exact name, packages where the name ends with a slash, and
/// interfaces of any patch version where it ends with a dot.
const OFFERED: &[&str] = &[
    "twinlet:device/types@0.1.0",
    "twinlet:device/http-client@0.1.0",
    "twinlet:device/telemetry@0.1.0",
    "twinlet:device/metrics@0.1.0",
    "twinlet:device/messaging@0.1.0",
    "twinlet:device/middleware-types@0.1.0",
    "twinlet:device/twin@0.1.0",
    "twinlet:device/clock@0.1.0",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:logging/logging@0.1.0-draft",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/types@0.2.",
    "wasi:http/outgoing-handler@0.2.",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// A linker that offers everything on the list.
pub fn link(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<Guest, Waiting>(&mut linker, |guest| View(guest))?;
    streams::add_to_linker::<Guest, Waiting>(&mut linker, |guest| View(guest))?;
    wasi_http::add_endings(&mut linker)?;
    linker.allow_shadowing(false);
    types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    http_client::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    telemetry::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    metrics::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    messaging::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    middleware_types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    config::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    keyvalue::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    twin::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    clock::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    logging::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// The names of a component's imports that no guest is offered, in the component's order.
pub fn refused_imports(engine: &Engine, component: &Component) -> Vec<String> {
    let imports = component.component_type();
    imports.imports(engine).map(|(name, _)| name.to_owned()).filter(|name| !is_offered(name)).collect()
}

fn is_offered(name: &str) -> bool {
    OFFERED
        .iter()
        .any(|offer| if offer.ends_with(['/', '.']) { name.starts_with(offer) } else { name == *offer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offer_on_the_list_links() -> wasmtime::Result<()> {
        link(&Engine::default()).map(drop)
    }

    #[test]
    fn interfaces_are_offered_by_their_exact_name() {
        assert!(is_offered("wasi:io/poll@0.2.3"));
        assert!(is_offered("twinlet:device/twin@0.1.0"));
        assert!(!is_offered("twinlet:device/twin@9.0.0"));
        assert!(is_offered("wasi:http/outgoing-handler@0.2.0"));
        assert!(!is_offered("wasi:http/outgoing-handler@0.3.0"));
        assert!(!is_offered("wasi:http/incoming-handler@0.2.0"));
        assert!(!is_offered("acme:unknown/thing"));
    }
}
