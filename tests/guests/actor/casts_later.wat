;; Answers the call `count` with its count of casts; makes any other a cast to the output of this name after so many
;; milliseconds, and answers `ok`, or the number of the error's case.
;;IMPORT (import "twinlet:device/messaging@0.1.0" "delayed-cast" (func $send_later (param i64 i32 i32 i32 i32 i32)))
(data (i32.const 1024) "@TEXT@")
(data (i32.const 4080) "count")
(data (i32.const 4088) "ok")
(func $call (param $message i32) (param $len i32) (result i32)
  (if (call $same (local.get $message) (local.get $len) (i32.const 4080) (i32.const 5))
    (then (return (call $reply_number (global.get $count)))))
  (call $send_later (i64.const @MS@) (i32.const 1024) (i32.const @LEN@)
    (local.get $message) (local.get $len) (i32.const 256))
  (if (i32.load8_u (i32.const 256))
    (then (return (call $reply_number (i32.load8_u (i32.const 264))))))
  (call $reply (i32.const 4088) (i32.const 2)))
