;; Sends back what came: the body as the body, the headers as headers, and before them the other fields as headers
;; `seen-…`, with a fixed status.
(data (i32.const 1024) "seen-method")   ;; 11 bytes
(data (i32.const 1040) "seen-path")     ;; 9
(data (i32.const 1056) "seen-query")    ;; 10
(data (i32.const 1072) "seen-host")     ;; 9
(data (i32.const 1088) "seen-id")       ;; 7
(data (i32.const 1104) "seen-param")    ;; 10
(global $list (mut i32) (i32.const 0))
(global $count (mut i32) (i32.const 0))

;; Appends one header whose value is the (pointer, length) pair stored at $value.
(func $add (param $name i32) (param $name_len i32) (param $value i32)
  (local $at i32)
  (local.set $at (i32.add (global.get $list) (i32.shl (global.get $count) (i32.const 4))))
  (i32.store (local.get $at) (local.get $name))
  (i32.store offset=4 (local.get $at) (local.get $name_len))
  (i64.store offset=8 align=4 (local.get $at) (i64.load align=4 (local.get $value)))
  (global.set $count (i32.add (global.get $count) (i32.const 1))))

;; The request lies flat at $r: method 0, path 8, query (discriminant 16, text 20), host 28, headers 36, params 44,
;; body 52, request-id 60; each a pointer and a length.
(func (export "twinlet:device/http-handler@0.1.0#handle") (param $r i32) (result i32)
  (local $headers i32)
  (local.set $headers (i32.load offset=40 (local.get $r)))
  (global.set $count (i32.const 0))
  (global.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 4)
    (i32.shl (i32.add (local.get $headers) (i32.const 6)) (i32.const 4))))
  (call $add (i32.const 1024) (i32.const 11) (local.get $r))
  (call $add (i32.const 1040) (i32.const 9) (i32.add (local.get $r) (i32.const 8)))
  (if (i32.load8_u offset=16 (local.get $r))
    (then (call $add (i32.const 1056) (i32.const 10) (i32.add (local.get $r) (i32.const 20)))))
  (call $add (i32.const 1072) (i32.const 9) (i32.add (local.get $r) (i32.const 28)))
  (call $add (i32.const 1088) (i32.const 7) (i32.add (local.get $r) (i32.const 60)))
  ;; the value of the first param: the second pair of its tuple
  (if (i32.load offset=48 (local.get $r))
    (then (call $add (i32.const 1104) (i32.const 10)
      (i32.add (i32.load offset=44 (local.get $r)) (i32.const 8)))))
  (memory.copy
    (i32.add (global.get $list) (i32.shl (global.get $count) (i32.const 4)))
    (i32.load offset=36 (local.get $r))
    (i32.shl (local.get $headers) (i32.const 4)))
  (call $ok (i32.const @STATUS@)
    (global.get $list) (i32.add (global.get $count) (local.get $headers))
    (i32.load offset=52 (local.get $r)) (i32.load offset=56 (local.get $r))))
