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


def is_text(value):
    return value is None or isinstance(value, str)


def is_number(value, least):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= least


@schemathesis.hook
def map_body(context, body):
    """Where what was made up is of an odd length, it becomes something real, so that both kinds are asked for. What is
    wrong on purpose stays wrong."""
    if not isinstance(body, dict):
        return body
    modules = body.get("modules")
    for module in modules if isinstance(modules, list) else []:
        path = module.get("file_path") if isinstance(module, dict) else None
        if isinstance(path, str) and path.startswith("/") and "\0" not in path and len(path) in range(1, 4097, 2):
            module["file_path"] = str(MODULES / "request-log.wasm")
    texts = [body.get(name) for name in ("CustomImage", "Handler", "TarFunctionCode")]
    sound = all(map(is_text, texts)) and is_number(body.get("MemoryMB"), 1)
    cpu = body.get("CPUDemand")
    if context.operation.path == "/create" and sound and (cpu is None or is_number(cpu, float("-inf"))):
        if isinstance(body.get("Runtime"), str) and len(body["Runtime"]) % 2:
            body.update(Runtime="wasm", MemoryMB=16, TarFunctionCode=TAR, CustomImage=None, Handler=None, CPUDemand=1)
    return body


@schemathesis.hook
def map_path_parameters(_context, path_parameters):
    if path_parameters and len(str(path_parameters.get("reqId", ""))) % 2:
        path_parameters["reqId"] = os.environ["REQ_ID"]
    return path_parameters
