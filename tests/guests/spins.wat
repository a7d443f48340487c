;; Never answers.
(func (export "twinlet:device/http-handler@0.1.0#handle") (param i32) (result i32)
  (loop $ever (br $ever))
  (unreachable))
