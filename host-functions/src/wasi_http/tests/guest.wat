;; Answers each request by the first letter of its body:
;; `f` sends the rest back and finishes, `l` leaves its body open, `t` traps with its body open, `n` sets no response,
;; `x` takes fields without end,
;; `p` asks the authority that the rest names, and passes on the first piece of what comes.
(module
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $response-body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $body-write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
    (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
    (func $set-authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
    (func $set-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
    (func $subscribe (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume-response (param i32 i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $send (param i32 i32 i32 i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "/")
  (global $free (mut i32) (i32.const 4096))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  ;; A result's payload at 1024 + $at; traps on an error.
  (func $payload (param $at i32) (result i32)
    (if (i32.load8_u (i32.const 1024)) (then unreachable))
    (i32.load (i32.add (i32.const 1024) (local.get $at))))

  ;; The first piece of a body, as pointer and length.
  (func $piece (param $body i32) (result i32 i32)
    (local $stream i32)
    (call $stream (local.get $body) (i32.const 1024))
    (local.set $stream (call $payload (i32.const 4)))
    (call $read (local.get $stream) (i64.const 1000) (i32.const 1024))
    (call $payload (i32.const 4))
    (call $payload (i32.const 8)))

  ;; Asks for http://{authority}/ and returns the first piece of the response's body.
  (func $asked (param $at i32) (param $length i32) (result i32 i32)
    (local $request i32) (local $future i32)
    (local.set $request (call $request (call $fields)))
    (if (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))
      (then unreachable))
    (if (call $set-authority (local.get $request) (i32.const 1) (local.get $at) (local.get $length))
      (then unreachable))
    (if (call $set-path (local.get $request) (i32.const 1) (i32.const 16) (i32.const 1))
      (then unreachable))
    (call $send (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1024))
    (local.set $future (call $payload (i32.const 8)))
    (call $block (call $subscribe (local.get $future)))
    (call $get (local.get $future) (i32.const 1024))
    ;; some(ok(ok(response)))
    (if (i32.ne (i32.load8_u (i32.const 1024)) (i32.const 1)) (then unreachable))
    (if (i32.load8_u (i32.const 1032)) (then unreachable))
    (if (i32.load8_u (i32.const 1040)) (then unreachable))
    (call $consume-response (i32.load (i32.const 1048)) (i32.const 1024))
    (call $piece (call $payload (i32.const 4))))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $at i32) (local $length i32) (local $how i32) (local $response i32) (local $body i32) (local $stream i32)
    (call $consume (local.get $request) (i32.const 1024))
    (call $piece (call $payload (i32.const 4)))
    (local.set $length)
    (local.set $at)
    (local.set $how (i32.load8_u (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (local.set $length (i32.sub (local.get $length) (i32.const 1)))
    (if (i32.eq (local.get $how) (i32.const 110)) (then return)) ;; n
    (if (i32.eq (local.get $how) (i32.const 120)) ;; x
      (then (loop $more
        (drop (call $fields))
        (local.set $length (i32.add (local.get $length) (i32.const 1)))
        (br_if $more (i32.lt_u (local.get $length) (i32.const 10000))))))
    (if (i32.eq (local.get $how) (i32.const 112)) ;; p
      (then
        (call $asked (local.get $at) (local.get $length))
        (local.set $length)
        (local.set $at)))
    (local.set $response (call $response (call $fields)))
    (call $response-body (local.get $response) (i32.const 1024))
    (local.set $body (call $payload (i32.const 4)))
    (call $set (local.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $body-write (local.get $body) (i32.const 1024))
    (local.set $stream (call $payload (i32.const 4)))
    (call $write (local.get $stream) (local.get $at) (local.get $length) (i32.const 1024))
    (if (i32.load8_u (i32.const 1024)) (then unreachable))
    (if (i32.eq (local.get $how) (i32.const 116)) (then unreachable)) ;; t
    (call $drop-output (local.get $stream))
    (if (i32.eq (local.get $how) (i32.const 108)) (then return)) ;; l
    (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 1024))
    (if (i32.load8_u (i32.const 1024)) (then unreachable))))
