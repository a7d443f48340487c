;; Writes a log message of 16 MiB.
;;IMPORT (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then (unreachable)))
  (call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 16777216))
  (call $ok_number (i32.const 1)))
