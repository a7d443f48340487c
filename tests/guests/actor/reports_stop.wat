;; At its stop keeps `stopped` as its state and sends it as telemetry; answers a call with the state that it began with,
;; or with `none`.
;;IMPORT (import "twinlet:device/telemetry@0.1.0" "send" (func $send (param i32 i32 i32)))
(data (i32.const 1024) "none")
(data (i32.const 4080) "stopped")
(global $state_len (mut i32) (i32.const 4))
(func $init (param $has_state i32) (param $state i32) (param $len i32)
  (if (local.get $has_state)
    (then
      (if (i32.gt_u (local.get $len) (i32.const 3000)) (then (unreachable)))
      (memory.copy (i32.const 1024) (local.get $state) (local.get $len))
      (global.set $state_len (local.get $len)))))
(func $call (param $message i32) (param $len i32) (result i32)
  (call $reply (i32.const 1024) (global.get $state_len)))
(func $stop
  (call $sync (i32.const 4080) (i32.const 7) (i32.const 256))
  (call $send (i32.const 4080) (i32.const 7) (i32.const 256)))
