;; Tells the host to put all arguments at address 0, one over the other. Harms itself
;; alone: it does not find its argument, and panics.
;; ends: declare Panicked
(func $realloc (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (i32.const 0))
(func $zeros (param $len i32) (result i32)
  (i32.const 4096))
