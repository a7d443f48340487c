//! What `wit-bindgen` makes of `wit/`: raw types, imports and export macros; knows nothing of the SDK's own types.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::indexing_slicing)]

/// The interfaces that every guest may import. Those that a function never calls are not in its component.
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "imports",
        generate_all,
    });
}

/// A module of the bindings of one world, whose imports are those of the module above. Worlds add up: a component may
/// use the export macros of several, and then exports what each of them asks for.
macro_rules! world {
    ($(#[$doc:meta])* $module:ident, $world:tt, $macro:tt, $path:tt $(, $interface:tt: $($types:ident)::+)*) => {
        $(#[$doc])*
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                with: {
                    "twinlet:device/types@0.1.0": super::imports::twinlet::device::types,
                    "twinlet:device/http-client@0.1.0": super::imports::twinlet::device::http_client,
                    "twinlet:device/telemetry@0.1.0": super::imports::twinlet::device::telemetry,
                    "twinlet:device/metrics@0.1.0": super::imports::twinlet::device::metrics,
                    "twinlet:device/twin@0.1.0": super::imports::twinlet::device::twin,
                    "twinlet:device/clock@0.1.0": super::imports::twinlet::device::clock,
                    "twinlet:device/messaging@0.1.0": super::imports::twinlet::device::messaging,
                    "wasi:config/store@0.2.0-rc.1": super::imports::wasi::config::store,
                    "wasi:keyvalue/store@0.2.0-draft": super::imports::wasi::keyvalue::store,
                    "wasi:logging/logging@0.1.0-draft": super::imports::wasi::logging::logging,
                    $($interface: $($types)::+,)*
                },
                generate_all,
                pub_export_macro: true,
                export_macro_name: $macro,
                default_bindings_module: $path,
            });
        }
    };
}

world! {
    /// A function that answers HTTP requests.
    http_function, "http-function", "export_http_function", "twinlet_guest::bindings::http_function"
}
world! {
    /// A function with a mailbox, timers and kept state.
    actor_function, "actor-function", "export_actor_function", "twinlet_guest::bindings::actor_function"
}
world! {
    /// Middleware before functions. The types of middleware are here, for the two modules below as well.
    request_middleware, "request-middleware", "export_request_middleware",
    "twinlet_guest::bindings::request_middleware"
}
world! {
    /// Middleware after functions.
    response_middleware, "response-middleware", "export_response_middleware",
    "twinlet_guest::bindings::response_middleware",
    "twinlet:device/middleware-types@0.1.0": super::request_middleware::twinlet::device::middleware_types
}
world! {
    /// Middleware for the answers that the agent gives in a function's place.
    error_middleware, "error-middleware", "export_error_middleware", "twinlet_guest::bindings::error_middleware",
    "twinlet:device/middleware-types@0.1.0": super::request_middleware::twinlet::device::middleware_types
}
