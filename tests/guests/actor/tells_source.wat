;; Answers a call with who sent it: the node, a slash and the function.
(func $call (param $message i32) (param $len i32) (result i32)
  (local $node_len i32) (local $from_len i32)
  (local.set $node_len (i32.load (i32.const 4)))
  (local.set $from_len (i32.load (i32.const 12)))
  (memory.copy (i32.const 1024) (i32.load (i32.const 0)) (local.get $node_len))
  (i32.store8 offset=1024 (local.get $node_len) (i32.const 47))
  (memory.copy (i32.add (i32.const 1025) (local.get $node_len)) (i32.load (i32.const 8)) (local.get $from_len))
  (call $reply (i32.const 1024) (i32.add (i32.const 1) (i32.add (local.get $node_len) (local.get $from_len)))))
