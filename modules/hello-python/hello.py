"""Says hello on /hello; everything else is 404. Answers by `wasi:http/incoming-handler`."""

from urllib.parse import parse_qs

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path, _, query = (request.path_with_query() or "/").partition("?")
        if path == "/hello":
            name = parse_qs(query).get("name", ["world"])[0]
            answer(response_out, 200, f"Hello, {name}!\n")
        else:
            answer(response_out, 404, "Not found\n")


def answer(response_out: ResponseOutparam, status: int, text: str) -> None:
    content = text.encode()
    response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with body.write() as stream:
        for start in range(0, len(content), 4096):
            stream.blocking_write_and_flush(content[start : start + 4096])
    OutgoingBody.finish(body, None)
