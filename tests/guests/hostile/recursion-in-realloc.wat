;; Recurses without end when the host asks for memory, with the host on the stack
;; below. Must exhaust its own stack, in `declare`.
;; ends: declare StackExhausted
(func $realloc (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (i32.add
    (call $realloc (local.get $old) (local.get $old_len) (local.get $align) (local.get $len))
    (i32.const 8)))
