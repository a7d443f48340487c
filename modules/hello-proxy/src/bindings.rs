//! What `wit-bindgen` makes of WASI: the part of the world `wasi:http/proxy` that is used here.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::indexing_slicing)]

wit_bindgen::generate!({
    inline: "
        package twinlet:hello-proxy;
        world hello-proxy {
            import wasi:clocks/monotonic-clock@0.2.12;
            import wasi:http/outgoing-handler@0.2.12;
            export wasi:http/incoming-handler@0.2.12;
        }
    ",
    path: "../wit-proxy",
    world: "twinlet:hello-proxy/hello-proxy",
    generate_all,
});
