;; Breaks in the one event of this name.
(func @EVENT@
  @BREAK@)
