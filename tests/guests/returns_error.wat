;; Returns `err` with a fixed text.
(data (i32.const 1024) "@TEXT@")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (i32.store8 (i32.const 64) (i32.const 1))
  (i32.store (i32.const 68) (i32.const 1024))
  (i32.store (i32.const 72) (i32.const @LEN@))
  (i32.const 64))
