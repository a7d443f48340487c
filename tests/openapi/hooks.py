"""What schemathesis does not know of itself: bodies that are components, sound and broken."""

import pathlib

import schemathesis
from hypothesis import strategies

MODULES = pathlib.Path(__file__).parents[2] / "modules" / "prebuilt"
HELLO = (MODULES / "hello-http.wasm").read_bytes()
MIDDLEWARE = (MODULES / "request-log.wasm").read_bytes()

BODIES = [HELLO, MIDDLEWARE, HELLO[:-1], HELLO[:8], HELLO + b"\0", b"\0asm\1\0\0\0", b"\0asm", b"no component", b""]
schemathesis.openapi.media_type("application/wasm", strategies.sampled_from(BODIES))


@schemathesis.hook
def map_body(context, body):
    """Generated paths lead nowhere: those of an odd length become one that is there."""
    modules = body.get("modules") if isinstance(body, dict) else None
    for module in modules if isinstance(modules, list) else []:
        path = module.get("file_path") if isinstance(module, dict) else None
        if isinstance(path, str) and path.startswith("/") and len(path) % 2:
            module["file_path"] = str(MODULES / "request-log.wasm")
    return body
