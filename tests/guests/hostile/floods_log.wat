;; Writes lines of 4,000 bytes to the log without end.
;;IMPORT (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (memory.fill (i32.const 4096) (i32.const 120) (i32.const 4000))
  (loop $ever
    (call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4000))
    (br $ever))
  (unreachable))
