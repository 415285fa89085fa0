;; Writes 20 MiB in one call. The host must answer too-large; otherwise it panics.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (call $must_be (i32.const 6)
    (call $write (i32.const 0) (i32.const 0) (call $zeros (i32.const 20971520)) (i32.const 20971520))))
