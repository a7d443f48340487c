;; Traps when it is called.
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (unreachable))
