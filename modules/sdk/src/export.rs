//! The macros that make plain functions and types what a component exports, one for each interface that the agent calls.
//! Each is used at most once in a component, and those of different interfaces may stand side by side.

/// Makes a plain function, `fn(Request) -> Result<Response, Error>`, what the component exports. Once per component.
///
/// ```
/// use twinlet_guest::prelude::*;
///
/// http_function!(hello);
///
/// fn hello(_request: Request) -> Result<Response, Error> {
///     Ok(Response::ok().text("Hello, world!"))
/// }
/// ```
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

/// Makes a type that is an [`Actor`](crate::Actor) what the component exports. Once per component.
///
/// ```
/// use twinlet_guest::prelude::*;
///
/// struct Greeter;
///
/// actor!(Greeter);
///
/// impl Actor for Greeter {
///     fn init(_init: Init) -> Result<Self, Error> {
///         Ok(Self)
///     }
///
///     fn call(&mut self, _from: &InstanceId, message: &[u8]) -> Result<Reply, Error> {
///         Ok(Reply::bytes([b"Hello, ", message, b"!"].concat()))
///     }
/// }
///
/// let _host = twinlet_guest::testing::Host::new();
/// let mut greeter = twinlet_guest::testing::TestActor::<Greeter>::start().unwrap();
/// assert_eq!(greeter.call("Ann").unwrap().body(), b"Hello, Ann!");
/// ```
#[macro_export]
macro_rules! actor {
    ($actor:ty) => {
        // Checks that the type is an actor on every target, and counts as its use where nothing is exported.
        const _: $crate::actor::Slot<$actor> = $crate::actor::Slot::empty();

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::actor::Slot<$actor> = const { $crate::actor::Slot::empty() };
            }

            struct Function;

            impl $crate::bindings::actor_function::exports::twinlet::device::actor::Guest for Function {
                fn handle_init(
                    config: ::std::string::String,
                    state: ::core::option::Option<::std::vec::Vec<u8>>,
                ) {
                    if SLOT.with(|slot| slot.init(config, state)).is_err() {
                        $crate::fail();
                    }
                }

                fn handle_cast(
                    from: $crate::bindings::imports::twinlet::device::types::InstanceId,
                    message: ::std::vec::Vec<u8>,
                ) {
                    // Its error is in the log, and nobody else waits for it.
                    ::core::mem::drop(SLOT.with(|slot| slot.cast(&from.into(), &message)));
                }

                fn handle_call(
                    from: $crate::bindings::imports::twinlet::device::types::InstanceId,
                    message: ::std::vec::Vec<u8>,
                ) -> $crate::bindings::imports::twinlet::device::types::CallRet {
                    match SLOT.with(|slot| slot.call(&from.into(), &message)) {
                        ::core::result::Result::Ok(reply) => reply.into(),
                        ::core::result::Result::Err(_) => {
                            $crate::bindings::imports::twinlet::device::types::CallRet::Err
                        }
                    }
                }

                fn handle_stop() {
                    SLOT.with(|slot| slot.stop());
                }
            }

            $crate::bindings::actor_function::export_actor_function!(
                Function with_types_in $crate::bindings::actor_function
            );
        };
    };
}

/// Makes a plain function of a [`&Request`](crate::Request) the middleware before functions. It returns what is
/// [`IntoAction`](crate::middleware::IntoAction): an [`Action`](crate::Action), a
/// [`Modification`](crate::middleware::Modification), or a `Result` of either. Once per component.
///
/// ```
/// use twinlet_guest::prelude::*;
///
/// on_request!(no_deletes);
///
/// fn no_deletes(request: &Request) -> Action {
///     if request.method() == "DELETE" { Action::reject(403) } else { Action::cont() }
/// }
///
/// assert_eq!(no_deletes(&Request::new("DELETE", "/")), Action::reject(403));
/// ```
#[macro_export]
macro_rules! on_request {
    ($handler:path) => {
        $crate::__middleware! {
            $handler, $crate::Request, request_middleware, on_request,
            $crate::bindings::imports::twinlet::device::types::Request, export_request_middleware
        }
    };
}

/// Makes a plain function of a [`&Response`](crate::Response) the middleware after functions; it returns what
/// [`on_request!`](crate::on_request!) says. The request's id is the response's header `x-request-id`. Once per component.
///
/// ```
/// use twinlet_guest::prelude::*;
///
/// on_response!(no_sniffing);
///
/// fn no_sniffing(_response: &Response) -> Modification {
///     Action::modify().set_header("x-content-type-options", "nosniff")
/// }
///
/// assert_eq!(no_sniffing(&Response::ok()).applied(Response::ok()).headers().count(), 1);
/// ```
#[macro_export]
macro_rules! on_response {
    ($handler:path) => {
        $crate::__middleware! {
            $handler, $crate::Response, response_middleware, on_response,
            $crate::bindings::imports::twinlet::device::types::Response, export_response_middleware
        }
    };
}

/// Makes a plain function of a [`&Failure`](crate::middleware::Failure) the middleware for the answers that the agent
/// gives in a function's place; it returns what [`on_request!`](crate::on_request!) says, and what it modifies is that
/// answer. Once per component.
///
/// ```
/// use twinlet_guest::prelude::*;
///
/// on_error!(apologise);
///
/// fn apologise(failure: &Failure) -> Action {
///     match failure.status {
///         500.. => Action::modify().set_header("retry-after", "5").into(),
///         _ => Action::cont(),
///     }
/// }
///
/// assert_eq!(apologise(&Failure::of(404, "NotFoundError")), Action::cont());
/// ```
#[macro_export]
macro_rules! on_error {
    ($handler:path) => {
        $crate::__middleware! {
            $handler, $crate::Failure, error_middleware, on_error,
            $crate::bindings::request_middleware::twinlet::device::middleware_types::Failure,
            export_error_middleware
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __middleware {
    ($handler:path, $input:ty, $world:ident, $interface:ident, $raw:ty, $export:ident) => {
        // Checks the handler's type on every target, and counts as its use where nothing is exported.
        const _: fn(&$input) -> ::core::result::Result<$crate::Action, ::std::string::String> =
            |input| $crate::middleware::decide($handler(input));

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Function;

            impl $crate::bindings::$world::exports::twinlet::device::$interface::Guest for Function {
                fn $interface(
                    input: $raw,
                ) -> $crate::bindings::request_middleware::twinlet::device::middleware_types::Action {
                    match $crate::middleware::decide($handler(&input.into())) {
                        ::core::result::Result::Ok(action) => action.into(),
                        ::core::result::Result::Err(_) => $crate::fail(),
                    }
                }
            }

    $crate::bindings::$world::$export!(Function with_types_in $crate::bindings::$world);
        };
    };
}
