;; Tells the host to put an answer behind its memory. Must crash.
;; ends: train Crashed
(func $before_training (param $args i32) (param $n_args i32)
  (call $random_bytes (i32.const 8) (i32.const -64)))
