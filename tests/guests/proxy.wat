;; A component of wasi:http/proxy that goes its own way, which comes in at the mark.
;;IMPORT (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $pause (param i64) (result i32)))
;;IMPORT (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
;;IMPORT (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
;;IMPORT (import "wasi:io/streams@0.2.12" "[resource-drop]output-stream" (func $drop-output (param i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[method]fields.clone" (func $clone (param i32) (result i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[method]incoming-request.headers" (func $headers-of (param i32) (result i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[method]incoming-request.consume" (func $consume (param i32 i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[method]incoming-body.stream" (func $open (param i32 i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[method]outgoing-response.body" (func $body-of (param i32 i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[method]outgoing-body.write" (func $stream-of (param i32 i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[static]outgoing-body.finish" (func $finish-body (param i32 i32 i32 i32)))
;;IMPORT (import "wasi:http/types@0.2.12" "[static]response-outparam.set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))

  (data (i32.const 1024) "half")
  (global $out (mut i32) (i32.const 0))
  (global $body (mut i32) (i32.const 0))
  (global $stream (mut i32) (i32.const 0))
  ;; Headers for the next response; without, it has none.
  (global $headers (mut i32) (i32.const 0))

  ;; The handle in the result at 256; traps on an error.
  (func $ok-handle (result i32)
    (if (i32.load8_u (i32.const 256)) (then unreachable))
    (i32.load (i32.const 260)))

  ;; Sends the head of a response, and the four bytes `half`.
  (func $half
    (local $response i32)
    (local.set $response (call $response
      (if (result i32) (global.get $headers) (then (global.get $headers)) (else (call $fields)))))
    (global.set $headers (i32.const 0))
    (call $body-of (local.get $response) (i32.const 256))
    (global.set $body (call $ok-handle))
    (call $set (global.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $stream-of (global.get $body) (i32.const 256))
    (global.set $stream (call $ok-handle))
    (call $again))

  (func $again
    (call $write (global.get $stream) (i32.const 1024) (i32.const 4) (i32.const 256))
    (if (i32.load8_u (i32.const 256)) (then unreachable)))

  ;; Five milliseconds before each.
  (func $nine-more
    (local $n i32)
    (loop $more
      (call $block (call $pause (i64.const 5000000)))
      (call $again)
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $n) (i32.const 9)))))

  (func $close (call $drop-output (global.get $stream)))

  (func $finish
    (call $finish-body (global.get $body) (i32.const 0) (i32.const 0) (i32.const 256))
    (if (i32.load8_u (i32.const 256)) (then unreachable)))

  ;; Goes on writing 4096 bytes at a time, until that fails.
  (func $flood
    (loop $more
      (call $write (global.get $stream) (i32.const 4096) (i32.const 4096) (i32.const 256))
      (br_if $more (i32.eqz (i32.load8_u (i32.const 256))))))

  (func $spin (loop $ever (br $ever)))

  ;; An hour.
  (func $sleep (call $block (call $pause (i64.const 3600000000000))))

  ;; Answers with the error `loop-detected`.
  (func $refuse
    (call $set (global.get $out) (i32.const 1) (i32.const 36)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; Opens the request's body and does not read it.
  (func $open-request (param $request i32)
    (call $consume (local.get $request) (i32.const 256))
    (call $open (call $ok-handle) (i32.const 256))
    (drop (call $ok-handle)))

  (func (export "wasi:http/incoming-handler@0.2.12#handle") (param $request i32) (param $new_out i32)
    (global.set $free (i32.const 4096))
    (global.set $out (local.get $new_out))
    @WAY@)
