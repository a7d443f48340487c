;; What every fixture shares: a memory, a bump allocator for what the host hands in, and its reset after each answer.
;; A fixture keeps its own data below 4096; its imports and its code come in at the two marks.
(module
  ;;IMPORTS
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))

  (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
    (result i32)
    (local $at i32) (local $end i32)
    ;; at = free rounded up to align
    (local.set $at (i32.and
      (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (block $fits
      (loop $grow
        (br_if $fits (i32.le_u (local.get $end) (i32.shl (memory.size) (i32.const 16))))
        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
        (br $grow)))
    (global.set $free (local.get $end))
    (if (local.get $old) (then (memory.copy (local.get $at) (local.get $old) (local.get $old_size))))
    (local.get $at))

  (func (export "cabi_post_twinlet:device/http-handler@0.1.0#handle") (param i32)
    (global.set $free (i32.const 4096)))

  ;; Writes `ok({ status, headers, body })` at 64 and returns 64.
  (func $ok (param $status i32) (param $headers i32) (param $header_count i32) (param $body i32) (param $len i32)
    (result i32)
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store16 (i32.const 68) (local.get $status))
    (i32.store (i32.const 72) (local.get $headers))
    (i32.store (i32.const 76) (local.get $header_count))
    (i32.store (i32.const 80) (local.get $body))
    (i32.store (i32.const 84) (local.get $len))
    (i32.const 64))

  ;;BODY
)
