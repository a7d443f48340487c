(func (export "twinlet:device/on-request@0.1.0#on-request") (param i32) (result i32)
  @DOES@)
