;; Writes auxiliary variables of the researcher in `train`. The host must answer
;; read-only; otherwise it panics.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (call $must_be (i32.const 5)
    (call $write (i32.const 1) (i32.const 0) (i32.const 4096) (i32.const 4))))
