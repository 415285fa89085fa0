;; Recurses without end through a table. Must exhaust its own stack.
;; ends: train StackExhausted
(type $again (func (param i64) (result i64)))
(table $functions 1 funcref)
(elem $elements (table $functions) (i32.const 0) func $recurse)
(func $before_training (param $args i32) (param $n_args i32)
  (drop (call $recurse (i64.const 0))))
(func $recurse (param $n i64) (result i64)
  (i64.add (local.get $n)
    (call_indirect $functions (type $again)
      (i64.add (local.get $n) (i64.const 1)) (i32.const 0))))
