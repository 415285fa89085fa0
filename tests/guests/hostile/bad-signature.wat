;; Calls a function through a table with a signature that is not its own. Must crash.
;; ends: train Crashed
(table $functions 1 funcref)
(elem $elements (table $functions) (i32.const 0) func $zeros)
(func $before_training (param $args i32) (param $n_args i32)
  (drop (call_indirect $functions (param i64 f64) (result f64)
    (i64.const 1) (f64.const 1) (i32.const 0))))
