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

/// The world of a function that answers HTTP requests. A further world gets a module like this one, and maps what it
/// imports to the module above.
pub mod http_function {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "http-function",
        with: {
            "twinlet:device/types@0.1.0": super::imports::twinlet::device::types,
            "twinlet:device/http-client@0.1.0": super::imports::twinlet::device::http_client,
            "twinlet:device/telemetry@0.1.0": super::imports::twinlet::device::telemetry,
            "twinlet:device/twin@0.1.0": super::imports::twinlet::device::twin,
            "twinlet:device/clock@0.1.0": super::imports::twinlet::device::clock,
            "wasi:logging/logging@0.1.0-draft": super::imports::wasi::logging::logging,
        },
        pub_export_macro: true,
        export_macro_name: "export_http_function",
        default_bindings_module: "twinlet_guest::bindings::http_function",
    });
}
