;; Answers 200 with a fixed text, after so many milliseconds of busy waiting on the monotonic clock.
;;IMPORT (import "twinlet:device/clock@0.1.0" "monotonic-ns" (func $now (result i64)))
(data (i32.const 1024) "@TEXT@")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (local $end i64)
  (local.set $end (i64.add (call $now) (i64.mul (i64.const @MS@) (i64.const 1000000))))
  (loop $wait (br_if $wait (i64.lt_u (call $now) (local.get $end))))
  (call $ok (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const @LEN@)))
