;; Reads 4 GiB - 1 bytes in one call. The host must answer too-large; otherwise it
;; panics.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (call $store_read (i32.const 0) (i32.const 0) (i64.const 0) (i32.const -1) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 5) (i32.load8_u (i32.const 132))))
