;; Divides by zero. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (drop (i32.div_u (i32.const 1) (i32.and (local.get $n_args) (i32.const 0)))))
