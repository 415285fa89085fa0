;; Divides the smallest number by -1. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (drop (i32.div_s (i32.const 0x80000000) (i32.or (local.get $n_args) (i32.const -1)))))
