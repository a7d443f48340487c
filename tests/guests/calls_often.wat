;; Calls the output `to` so many times, one after the other, and answers how many had a reply.
;;IMPORT (import "twinlet:device/messaging@0.1.0" "call" (func $send (param i32 i32 i32 i32 i32)))
(data (i32.const 1024) "to")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param $r i32) (result i32)
  (local $left i32) (local $replies i32)
  (local.set $left (i32.const @TIMES@))
  (loop $next
    (global.set $free (i32.const 4096))
    (call $send (i32.const 1024) (i32.const 2) (i32.const 1024) (i32.const 2) (i32.const 256))
    (if (i32.eq (i32.load8_u (i32.const 256)) (i32.const 1))
      (then (local.set $replies (i32.add (local.get $replies) (i32.const 1)))))
    (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (call $ok_number (local.get $replies)))
