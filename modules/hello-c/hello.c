// Says hello on /hello; everything else is 404. Answers by `twinlet:device/http-handler`.

#include <stdlib.h>
#include <string.h>

#include "http_function.h"

typedef http_function_string_t string;
typedef http_function_list_u8_t bytes;
typedef exports_twinlet_device_http_handler_request_t request;
typedef exports_twinlet_device_http_handler_response_t response;

static const string world = {(uint8_t *)"world", 5};

static void *allocated(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static bool equal(const string *a, const char *b) {
    return a->len == strlen(b) && memcmp(a->ptr, b, a->len) == 0;
}

static int hex(uint8_t digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// Decodes %XX and + in place; what is no valid %XX stays as it is.
static void decode(string *text) {
    size_t to = 0;
    for (size_t from = 0; from < text->len; from++) {
        uint8_t byte = text->ptr[from] == '+' ? ' ' : text->ptr[from];
        if (byte == '%' && text->len - from > 2) {
            int high = hex(text->ptr[from + 1]), low = hex(text->ptr[from + 2]);
            if (high >= 0 && low >= 0) {
                byte = (uint8_t)(high << 4 | low);
                from += 2;
            }
        }
        text->ptr[to++] = byte;
    }
    text->len = to;
}

// The first value of the query's parameter `name`, still encoded; empty where there is none.
static string name_in(string query) {
    static const char key[] = "name=";
    const size_t key_len = sizeof key - 1;
    for (size_t at = 0; at < query.len;) {
        uint8_t *pair = query.ptr + at;
        uint8_t *end = memchr(pair, '&', query.len - at);
        size_t len = end == NULL ? query.len - at : (size_t)(end - pair);
        if (len >= key_len && memcmp(pair, key, key_len) == 0) {
            return (string){pair + key_len, len - key_len};
        }
        at += len + 1;
    }
    return (string){NULL, 0};
}

// What the agent gets is on the heap, as the generated code frees it once it was read.
static void answer(response *to, uint16_t status, const string *parts, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    to->status = status;
    to->body = (bytes){allocated(len), 0};
    for (size_t i = 0; i < count; i++) {
        memcpy(to->body.ptr + to->body.len, parts[i].ptr, parts[i].len);
        to->body.len += parts[i].len;
    }
    string type;
    to->headers.ptr = allocated(sizeof *to->headers.ptr);
    to->headers.len = 1;
    http_function_string_dup(&to->headers.ptr->f0, "content-type");
    http_function_string_dup(&type, "text/plain; charset=utf-8");
    to->headers.ptr->f1 = (bytes){type.ptr, type.len};
}

bool exports_twinlet_device_http_handler_handle(request *request, response *to, string *error) {
    (void)error;
    if (equal(&request->path, "/hello")) {
        string name = request->query.is_some ? name_in(request->query.val) : (string){NULL, 0};
        decode(&name);
        const string parts[] = {{(uint8_t *)"Hello, ", 7}, name.len > 0 ? name : world, {(uint8_t *)"!\n", 2}};
        answer(to, 200, parts, 3);
    } else {
        const string parts[] = {{(uint8_t *)"Not found\n", 10}};
        answer(to, 404, parts, 1);
    }
    exports_twinlet_device_http_handler_request_free(request);
    return true;
}
