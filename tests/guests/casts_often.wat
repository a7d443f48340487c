;; Casts to the output `to` so many times, then calls it, so that the answer comes when the actor has had them all; answers
;; how many were taken.
;;IMPORT (import "twinlet:device/messaging@0.1.0" "cast" (func $send (param i32 i32 i32 i32 i32)))
;;IMPORT (import "twinlet:device/messaging@0.1.0" "call" (func $ask (param i32 i32 i32 i32 i32)))
(data (i32.const 1024) "to")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param $r i32) (result i32)
  (local $left i32) (local $taken i32)
  (local.set $left (i32.const @TIMES@))
  (loop $next
    (global.set $free (i32.const 4096))
    (call $send (i32.const 1024) (i32.const 2) (i32.const 1024) (i32.const 2) (i32.const 256))
    (if (i32.eqz (i32.load8_u (i32.const 256)))
      (then (local.set $taken (i32.add (local.get $taken) (i32.const 1)))))
    (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
  (call $ask (i32.const 1024) (i32.const 2) (i32.const 1024) (i32.const 2) (i32.const 256))
  (call $ok_number (local.get $taken)))
