;; Answers 200 with what `wasi:config/store` has under the key that the request's body names, or 404.
;;IMPORT (import "wasi:config/store@0.2.0-rc.1" "get" (func $get (param i32 i32 i32)))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param $r i32) (result i32)
  (call $get (i32.load offset=52 (local.get $r)) (i32.load offset=56 (local.get $r)) (i32.const 256))
  (if (i32.load8_u (i32.const 256)) (then (unreachable)))
  (if (i32.eqz (i32.load8_u (i32.const 260)))
    (then (return (call $ok (i32.const 404) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
  (call $ok (i32.const 200) (i32.const 0) (i32.const 0)
    (i32.load (i32.const 264)) (i32.load (i32.const 268))))
