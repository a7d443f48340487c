;; Sets a gauge `g` of another label `n` without end.
;;IMPORT (import "twinlet:device/metrics@0.1.0" "set" (func $set (param i32 i32 i32 i32 f64 i32)))
(data (i32.const 1024) "g")
(data (i32.const 1028) "n")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (local $n i32) (local $at i32)
  (loop $ever
    (global.set $free (i32.const 4096))
    (local.set $at (call $show (local.tee $n (i32.add (local.get $n) (i32.const 1)))))
    ;; one label: its name and its value
    (i32.store (i32.const 1032) (i32.const 1028))
    (i32.store (i32.const 1036) (i32.const 1))
    (i32.store (i32.const 1040) (local.get $at))
    (i32.store (i32.const 1044) (i32.sub (i32.const 192) (local.get $at)))
    (call $set (i32.const 1024) (i32.const 1) (i32.const 1032) (i32.const 1) (f64.const 1) (i32.const 256))
    (br $ever))
  (unreachable))
