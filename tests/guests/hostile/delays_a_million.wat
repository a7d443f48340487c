;; At a call makes a million timers of an hour to itself, or tries to; answers how many were taken.
;;IMPORT (import "twinlet:device/messaging@0.1.0" "delayed-cast" (func $send_later (param i64 i32 i32 i32 i32 i32)))
(data (i32.const 1024) "self")
(func $call (param $message i32) (param $len i32) (result i32)
  (local $n i32) (local $taken i32)
  (loop $more
    (global.set $free (i32.const 4096))
    (call $send_later (i64.const 3600000) (i32.const 1024) (i32.const 4) (i32.const 1024) (i32.const 4)
      (i32.const 256))
    (local.set $taken (i32.add (local.get $taken) (i32.eqz (i32.load8_u (i32.const 256)))))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
  (call $reply_number (local.get $taken)))
