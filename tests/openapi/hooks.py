"""What schemathesis can not make up: bodies that are or hold components, files that are there, ids that were given."""

import base64
import io
import os
import pathlib
import tarfile

import schemathesis
from hypothesis import strategies

MODULES = pathlib.Path(__file__).parents[2] / "modules" / "prebuilt"
HELLO = (MODULES / "hello-http.wasm").read_bytes()
MIDDLEWARE = (MODULES / "request-log.wasm").read_bytes()

BODIES = [HELLO, MIDDLEWARE, HELLO[:-1], HELLO[:8], HELLO + b"\0", b"\0asm\1\0\0\0", b"\0asm", b"no component", b""]
schemathesis.openapi.media_type("application/wasm", strategies.sampled_from(BODIES))


def packed(component):
    """A component as Serverledge's clients send it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("function.wasm")
        member.size = len(component)
        tar.addfile(member, io.BytesIO(component))
    return base64.b64encode(archive.getvalue()).decode()


TAR = packed(HELLO)


@schemathesis.hook
def map_body(context, body):
    """Where what was made up is of an odd length, it becomes something real, so that both kinds are asked for."""
    if not isinstance(body, dict):
        return body
    modules = body.get("modules")
    for module in modules if isinstance(modules, list) else []:
        path = module.get("file_path") if isinstance(module, dict) else None
        if isinstance(path, str) and path.startswith("/") and len(path) % 2:
            module["file_path"] = str(MODULES / "request-log.wasm")
    if context.operation.path == "/create" and isinstance(body.get("Runtime"), str) and len(body["Runtime"]) % 2:
        body.update(Runtime="wasm", MemoryMB=16, TarFunctionCode=TAR)
        for name in ("CustomImage", "Handler", "CPUDemand"):
            body.pop(name, None)
    return body


@schemathesis.hook
def map_path_parameters(_context, path_parameters):
    if path_parameters and len(str(path_parameters.get("reqId", ""))) % 2:
        path_parameters["reqId"] = os.environ["REQ_ID"]
    return path_parameters
