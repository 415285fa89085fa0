;; Reads and writes behind the ends of a tensor, at offsets that wrap, and tensors
;; that there are not. The host must refuse each; otherwise it panics.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (local $len i64)
  (local.set $len (i64.extend_i32_u (call $w_len (local.get $args) (local.get $n_args))))
  (call $refused (i32.const 4) (i32.const 0) (i32.const 0) (local.get $len) (i32.const 1))
  (call $refused (i32.const 4) (i32.const 0) (i32.const 0) (i64.const 0)
    (i32.wrap_i64 (i64.add (local.get $len) (i64.const 1))))
  (call $refused (i32.const 4) (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 1))
  (call $refused (i32.const 4) (i32.const 0) (i32.const 0) (i64.const -1) (i32.const 0))
  (call $refused (i32.const 4) (i32.const 0) (i32.const 0) (i64.const 0x100000000) (i32.const 4))
  (call $refused (i32.const 3) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 4))
  (call $refused (i32.const 3) (i32.const 0) (i32.const -1) (i64.const 0) (i32.const 4))
  (call $refused (i32.const 3) (i32.const 2) (i32.const 0) (i64.const 0) (i32.const 4)))
;; Both reading and writing must be answered with $expected.
(func $refused (param $expected i32) (param $slot i32) (param $index i32) (param $offset i64) (param $len i32)
  (call $store_read (local.get $slot) (local.get $index) (local.get $offset) (local.get $len) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (local.get $expected) (i32.add (i32.const 1) (i32.load8_u (i32.const 132))))
  (call $store_write (local.get $slot) (local.get $index) (local.get $offset) (i32.const 4096) (local.get $len) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (local.get $expected) (i32.add (i32.const 1) (i32.load8_u (i32.const 129)))))
