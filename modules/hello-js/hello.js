// Says hello on /hello; everything else is 404. Answers by `twinlet:device/http-handler`.

export const httpHandler = {
    handle(request) {
        if (request.path !== "/hello") {
            return text(404, "Not found\n");
        }
        return text(200, `Hello, ${parameter(request.query ?? "", "name") || "world"}!\n`);
    },
};

/** The first value of a parameter of the query, decoded; one that is no valid encoding stays as it is. */
function parameter(query, name) {
    const value = query.split("&").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
    const spaced = value.replaceAll("+", " ");
    try {
        return decodeURIComponent(spaced);
    } catch {
        return spaced;
    }
}

function text(status, body) {
    return { status, headers: [["content-type", bytes("text/plain; charset=utf-8")]], body: bytes(body) };
}

/** UTF-8. QuickJS has no TextEncoder. */
function bytes(text) {
    return Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
}
