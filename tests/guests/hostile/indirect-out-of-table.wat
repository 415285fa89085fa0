;; Calls an element behind the end of a table. Must crash.
;; ends: train Crashed
(table $functions 4 funcref)
(func $before_training (param $args i32) (param $n_args i32)
  (call_indirect $functions (i32.const -1)))
