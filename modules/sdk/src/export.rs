//! The macros that make plain functions what a component exports, one for each world in `wit/`.

/// Makes a plain function, `fn(Request) -> Result<Response, Error>`, what the component exports. Once per component.
#[macro_export]
macro_rules! http_function {
    ($handler:path) => {
        // Checks the handler's type on every target, and counts as its use where nothing is exported.
        const _: fn($crate::Request) -> ::core::result::Result<$crate::Response, $crate::Error> = $handler;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Function;

            impl $crate::bindings::http_function::exports::twinlet::device::http_handler::Guest for Function {
                fn handle(
                    request: $crate::bindings::imports::twinlet::device::types::Request,
                ) -> ::core::result::Result<
                    $crate::bindings::imports::twinlet::device::types::Response,
                    ::std::string::String,
                > {
                    $crate::answer($handler, request.into()).map(::core::convert::Into::into)
                }
            }

            $crate::bindings::http_function::export_http_function!(
                Function with_types_in $crate::bindings::http_function
            );
        };
    };
}
