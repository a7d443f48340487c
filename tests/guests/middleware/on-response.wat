(func (export "twinlet:device/on-response@0.1.0#on-response") (param i32 i32 i32 i32 i32) (result i32)
  @DOES@)
