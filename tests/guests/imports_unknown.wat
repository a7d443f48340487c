;; Wants an interface that no agent offers.
;;IMPORT (import "acme:unknown/thing@1.0.0" "poke" (func $poke))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (call $poke)
  (call $ok (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
