;; Leaves NaN in the state. Must be not finite: it would be kept for the next round.
;; ends: train NotFinite
(func $after_training (param $args i32) (param $n_args i32)
  (f32.store (i32.const 4096) (f32.const nan))
  (call $must_be (i32.const 0) (call $write (i32.const 3) (i32.const 0) (i32.const 4096) (i32.const 4))))
