;; Sends messages of 1 KiB to the hub without end.
;;IMPORT (import "twinlet:device/telemetry@0.1.0" "send" (func $send (param i32 i32 i32)))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (loop $ever
    (global.set $free (i32.const 8192))
    (call $send (i32.const 4096) (i32.const 1024) (i32.const 256))
    (br $ever))
  (unreachable))
