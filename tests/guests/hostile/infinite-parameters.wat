;; Leaves infinity in `w`. Must be not finite: nothing of the round may leave.
;; ends: train NotFinite
(func $after_training (param $args i32) (param $n_args i32)
  (f32.store (i32.const 4096) (f32.const inf))
  (call $must_be (i32.const 0) (call $write (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4))))
