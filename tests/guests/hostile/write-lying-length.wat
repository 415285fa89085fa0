;; Writes 512 MiB into a tensor, far more than it has memory. Must crash, and the
;; host may not reserve what it was told.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (drop (call $write (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 0x20000000))))
