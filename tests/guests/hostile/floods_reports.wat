;; Reports another value of `n` without end.
;;IMPORT (import "twinlet:device/twin@0.1.0" "report" (func $report (param i32 i32 i32 i32 i32)))
(data (i32.const 1024) "n")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (local $n i32) (local $at i32)
  (loop $ever
    (global.set $free (i32.const 4096))
    (local.set $at (call $show (local.tee $n (i32.add (local.get $n) (i32.const 1)))))
    (call $report (i32.const 1024) (i32.const 1)
      (local.get $at) (i32.sub (i32.const 192) (local.get $at)) (i32.const 256))
    (br $ever))
  (unreachable))
