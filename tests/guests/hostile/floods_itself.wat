;; At a call casts to itself until a message is refused, and answers how many were taken.
;;IMPORT (import "twinlet:device/messaging@0.1.0" "cast" (func $send (param i32 i32 i32 i32 i32)))
(data (i32.const 1024) "self")
(func $call (param $message i32) (param $len i32) (result i32)
  (local $taken i32)
  (loop $more
    (call $send (i32.const 1024) (i32.const 4) (i32.const 4096) (i32.const @BYTES@) (i32.const 256))
    (if (i32.eqz (i32.load8_u (i32.const 256)))
      (then
        (local.set $taken (i32.add (local.get $taken) (i32.const 1)))
        (br $more))))
  (call $reply_number (local.get $taken)))
;; Of the casts themselves it takes no notice.
(func $cast (param $message i32) (param $len i32))
