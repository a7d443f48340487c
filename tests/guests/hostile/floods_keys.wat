;; Keeps values of so many bytes under ever new keys until one is refused, and answers how many were kept.
;;IMPORT (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
;;IMPORT (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set"
;;IMPORT   (func $set (param i32 i32 i32 i32 i32 i32)))
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (local $bucket i32) (local $n i32) (local $at i32)
  (call $open (i32.const 0) (i32.const 0) (i32.const 256))
  (if (i32.load8_u (i32.const 256)) (then (unreachable)))
  (local.set $bucket (i32.load (i32.const 260)))
  (drop (memory.grow (i32.const 2)))
  (loop $more
    (global.set $free (i32.const 4096))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (local.set $at (call $show (local.get $n)))
    (call $set (local.get $bucket) (local.get $at) (i32.sub (i32.const 192) (local.get $at))
      (i32.const 65536) (i32.const @BYTES@) (i32.const 256))
    (br_if $more (i32.eqz (i32.load8_u (i32.const 256)))))
  (call $ok_number (i32.sub (local.get $n) (i32.const 1))))
