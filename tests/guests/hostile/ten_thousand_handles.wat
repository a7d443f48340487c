;; Takes 10,000 host resources and gives none back.
;;IMPORT (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (local $n i32)
  (loop $more
    (drop (call $subscribe (i64.const 3600000000000)))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000))))
  (call $ok_number (local.get $n)))
