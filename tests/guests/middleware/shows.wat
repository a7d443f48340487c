;; Sets headers that say what it was shown: of a request `seen-method`, `-path`, `-query`, `-host`, `-id`, `-params` (how
;; many) and `-bytes` (of its body); of a response `seen-status` and `seen-bytes`; of a failure `seen-id`, `-method`,
;; `-path`, `-status`, `-kind` and `-message`.
(data (i32.const 1024) "seen-method")   ;; 11 bytes
(data (i32.const 1040) "seen-path")     ;; 9
(data (i32.const 1056) "seen-query")    ;; 10
(data (i32.const 1072) "seen-host")     ;; 9
(data (i32.const 1088) "seen-id")       ;; 7
(data (i32.const 1104) "seen-params")   ;; 11
(data (i32.const 1120) "seen-bytes")    ;; 10
(data (i32.const 1136) "seen-status")   ;; 11
(data (i32.const 1152) "seen-kind")     ;; 9
(data (i32.const 1168) "seen-message")  ;; 12
;; Headers of 16 bytes each, from 2048 on.
(global $headers (mut i32) (i32.const 0))

(func $text (param $name i32) (param $name_len i32) (param $value i32) (param $len i32)
  (local $at i32)
  (local.set $at (i32.add (i32.const 2048) (i32.shl (global.get $headers) (i32.const 4))))
  (i32.store (local.get $at) (local.get $name))
  (i32.store offset=4 (local.get $at) (local.get $name_len))
  (i32.store offset=8 (local.get $at) (local.get $value))
  (i32.store offset=12 (local.get $at) (local.get $len))
  (global.set $headers (i32.add (global.get $headers) (i32.const 1))))

;; The same of a pair of pointer and length, which lies at $pair.
(func $pair (param $name i32) (param $name_len i32) (param $pair i32)
  (call $text (local.get $name) (local.get $name_len)
    (i32.load (local.get $pair)) (i32.load offset=4 (local.get $pair))))

;; The same of a number, whose digits are copied out of the way of the next.
(func $digits (param $name i32) (param $name_len i32) (param $n i32)
  (local $at i32) (local $len i32) (local $kept i32)
  (local.set $at (call $show (local.get $n)))
  (local.set $len (i32.sub (i32.const 192) (local.get $at)))
  (local.set $kept (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $len)))
  (memory.copy (local.get $kept) (local.get $at) (local.get $len))
  (call $text (local.get $name) (local.get $name_len) (local.get $kept) (local.get $len)))

;; `modify` with these headers to set, at 64.
(func $modify (result i32)
  (memory.fill (i32.const 64) (i32.const 0) (i32.const 44))
  (i32.store8 (i32.const 64) (i32.const 2))
  (i32.store (i32.const 72) (i32.const 2048))
  (i32.store (i32.const 76) (global.get $headers))
  (global.set $headers (i32.const 0))
  (i32.const 64))

;; The request lies flat at $r, as in mirrors.wat.
(func (export "twinlet:device/on-request@0.1.0#on-request") (param $r i32) (result i32)
  (call $pair (i32.const 1024) (i32.const 11) (local.get $r))
  (call $pair (i32.const 1040) (i32.const 9) (i32.add (local.get $r) (i32.const 8)))
  (if (i32.load8_u offset=16 (local.get $r))
    (then (call $pair (i32.const 1056) (i32.const 10) (i32.add (local.get $r) (i32.const 20)))))
  (call $pair (i32.const 1072) (i32.const 9) (i32.add (local.get $r) (i32.const 28)))
  (call $pair (i32.const 1088) (i32.const 7) (i32.add (local.get $r) (i32.const 60)))
  (call $digits (i32.const 1104) (i32.const 11) (i32.load offset=48 (local.get $r)))
  (call $digits (i32.const 1120) (i32.const 10) (i32.load offset=56 (local.get $r)))
  (call $modify))

(func (export "twinlet:device/on-response@0.1.0#on-response")
  (param $status i32) (param $heads i32) (param $head_count i32) (param $body i32) (param $len i32) (result i32)
  (call $digits (i32.const 1136) (i32.const 11) (local.get $status))
  (call $digits (i32.const 1120) (i32.const 10) (local.get $len))
  (call $modify))

(func (export "twinlet:device/on-error@0.1.0#on-error")
  (param $id i32) (param $id_len i32) (param $method i32) (param $method_len i32) (param $path i32)
  (param $path_len i32) (param $status i32) (param $kind i32) (param $kind_len i32) (param $message i32)
  (param $message_len i32) (result i32)
  (call $text (i32.const 1088) (i32.const 7) (local.get $id) (local.get $id_len))
  (call $text (i32.const 1024) (i32.const 11) (local.get $method) (local.get $method_len))
  (call $text (i32.const 1040) (i32.const 9) (local.get $path) (local.get $path_len))
  (call $digits (i32.const 1136) (i32.const 11) (local.get $status))
  (call $text (i32.const 1152) (i32.const 9) (local.get $kind) (local.get $kind_len))
  (call $text (i32.const 1168) (i32.const 12) (local.get $message) (local.get $message_len))
  (call $modify))
