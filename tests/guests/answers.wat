;; Answers 200 with a fixed text, at once.
(data (i32.const 1024) "@TEXT@")
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (call $ok (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const @LEN@)))
