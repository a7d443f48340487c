;; What every actor shares. It counts its casts and keeps the count as its state; a fixture replaces `$init`, `$cast`,
;; `$call` or `$stop` by defining it.
;;IMPORT (import "twinlet:device/messaging@0.1.0" "sync" (func $sync (param i32 i32 i32)))
(global $count (mut i32) (i32.const 0))

(func (export "twinlet:device/actor@0.1.0#handle-init")
  (param $config i32) (param $config_len i32) (param $has_state i32) (param $state i32) (param $state_len i32)
  (call $init (local.get $has_state) (local.get $state) (local.get $state_len))
  (global.set $free (i32.const 4096)))

(func (export "twinlet:device/actor@0.1.0#handle-cast")
  (param $node i32) (param $node_len i32) (param $from i32) (param $from_len i32)
  (param $message i32) (param $len i32)
  (call $cast (local.get $message) (local.get $len))
  (global.set $free (i32.const 4096)))

(func (export "twinlet:device/actor@0.1.0#handle-call")
  (param $node i32) (param $node_len i32) (param $from i32) (param $from_len i32)
  (param $message i32) (param $len i32)
  (result i32)
  (i32.store (i32.const 0) (local.get $node))
  (i32.store (i32.const 4) (local.get $node_len))
  (i32.store (i32.const 8) (local.get $from))
  (i32.store (i32.const 12) (local.get $from_len))
  (call $call (local.get $message) (local.get $len)))

(func (export "twinlet:device/actor@0.1.0#handle-stop")
  (call $stop)
  (global.set $free (i32.const 4096)))

;; The three answers to a call, written at 64.
(func $noreply (result i32)
  (i32.store8 (i32.const 64) (i32.const 0))
  (i32.const 64))
(func $reply (param $at i32) (param $len i32) (result i32)
  (i32.store8 (i32.const 64) (i32.const 1))
  (i32.store (i32.const 68) (local.get $at))
  (i32.store (i32.const 72) (local.get $len))
  (i32.const 64))
(func $err (result i32)
  (i32.store8 (i32.const 64) (i32.const 2))
  (i32.const 64))

(func $reply_number (param $n i32) (result i32)
  (local $at i32)
  (local.set $at (call $show (local.get $n)))
  (call $reply (local.get $at) (i32.sub (i32.const 192) (local.get $at))))

;; Counts one, and keeps the count.
(func $count_one
  (local $at i32)
  (global.set $count (i32.add (global.get $count) (i32.const 1)))
  (local.set $at (call $show (global.get $count)))
  (call $sync (local.get $at) (i32.sub (i32.const 192) (local.get $at)) (i32.const 256)))

;;UNLESS $init
(func $init (param $has_state i32) (param $state i32) (param $len i32)
  (if (local.get $has_state)
    (then (global.set $count (call $number (local.get $state) (local.get $len))))))

;;UNLESS $cast
(func $cast (param $message i32) (param $len i32)
  (call $count_one))

;;UNLESS $call
(func $call (param $message i32) (param $len i32) (result i32)
  (call $reply_number (global.get $count)))

;;UNLESS $stop
(func $stop)
