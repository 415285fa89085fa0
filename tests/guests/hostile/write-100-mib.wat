;; Writes 100 MiB in one call, more than the host takes at once at all. Must crash.
;; ends: train OutOfMemory
(func $before_training (param $args i32) (param $n_args i32)
  (drop (call $write (i32.const 0) (i32.const 0) (call $zeros (i32.const 104857600)) (i32.const 104857600))))
