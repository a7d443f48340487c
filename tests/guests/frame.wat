;; What every fixture shares: a memory, a bump allocator for what the host hands in, and its reset after each answer.
;; A fixture keeps its own data from 1024 to 4096; its imports, its code and the resets come in at the marks. Below 1024:
;; who sent a message at 0, an answer at 64, a number as text before 192, what an imported function returns at 256.
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

  ;;POSTS

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

  ;; Writes a number in decimal digits that end before 192, and returns where they begin.
  (func $show (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 192))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (br_if $next (local.tee $n (i32.div_u (local.get $n) (i32.const 10)))))
    (local.get $at))

  ;; The number that decimal digits stand for.
  (func $number (param $at i32) (param $len i32) (result i32)
    (local $n i32)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $len)))
        (local.set $n (i32.add
          (i32.mul (local.get $n) (i32.const 10))
          (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next)))
    (local.get $n))

  ;; Whether two texts are the same.
  (func $same (param $a i32) (param $a_len i32) (param $b i32) (param $b_len i32) (result i32)
    (if (i32.ne (local.get $a_len) (local.get $b_len)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.eqz (local.get $a_len)) (then (return (i32.const 1))))
      (if (i32.ne (i32.load8_u (local.get $a)) (i32.load8_u (local.get $b))) (then (return (i32.const 0))))
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      (local.set $a_len (i32.sub (local.get $a_len) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; Answers 200 with a number in decimal digits.
  (func $ok_number (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (call $show (local.get $n)))
    (call $ok (i32.const 200) (i32.const 0) (i32.const 0)
      (local.get $at) (i32.sub (i32.const 192) (local.get $at))))

  ;;BODY
)
