;; Wants a table of 2^31 elements at once, then takes elements by the thousand until it is refused; answers how many it
;; has.
(table $t 1 funcref)
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (if (i32.ne (table.grow $t (ref.null func) (i32.const 0x7fffffff)) (i32.const -1)) (then (unreachable)))
  (loop $more
    (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
  (call $ok_number (table.size $t)))
