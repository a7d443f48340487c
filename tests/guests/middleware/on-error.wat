(func (export "twinlet:device/on-error@0.1.0#on-error") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
  @DOES@)
