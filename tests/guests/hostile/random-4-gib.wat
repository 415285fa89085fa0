;; Asks for 4 GiB - 1 random bytes in one call. The host must answer too-large;
;; otherwise it panics.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (call $random_bytes (i32.const -1) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 5) (i32.load8_u (i32.const 132))))
