;; Reads from a slot that there is not. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (drop (call $read (i32.const 9) (i32.const 0) (i32.const 4))))
