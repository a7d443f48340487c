;; Gets a URL, and answers 200 with its status, or 502 with the number of the error's case.
;;IMPORT (import "twinlet:device/http-client@0.1.0" "send"
;;IMPORT   (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
(data (i32.const 1024) "@TEXT@")
(data (i32.const 4092) "GET")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (local $answer i32)
  (call $send (i32.const 4092) (i32.const 3) (i32.const 1024) (i32.const @LEN@)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) ;; no headers, no body
    (i32.const 0) (i32.const 0)                             ;; no time-out of its own
    (i32.const 256))
  (if (i32.eqz (i32.load8_u (i32.const 256)))
    (then (return (call $ok_number (i32.load16_u (i32.const 264))))))
  (local.set $answer (call $ok_number (i32.load8_u (i32.const 264))))
  (i32.store16 offset=4 (local.get $answer) (i32.const 502))
  (local.get $answer))
