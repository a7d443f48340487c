;; Says the same at each point: the bytes of an action, made up by the one who builds this.
(data (i32.const 1024) "@ACTION@")
