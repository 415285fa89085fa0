;; Turns NaN into a whole number. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (drop (i32.trunc_f32_s (f32.const nan))))
