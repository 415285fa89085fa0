;; Writes half of `w` and all of `s`, then traps. Must be a panic, and neither
;; parameters nor state may have changed.
;; ends: train Panicked
(func $after_training (param $args i32) (param $n_args i32)
  (call $must_be (i32.const 0) (call $write (i32.const 3) (i32.const 0) (call $nines) (i32.const 4)))
  (call $must_be (i32.const 0)
    (call $write (i32.const 0) (i32.const 0) (call $nines)
      (i32.div_u (call $w_len (local.get $args) (local.get $n_args)) (i32.const 2))))
  unreachable)
(func $nines (result i32)
  (memory.fill (i32.const 4096) (i32.const 9) (i32.const 8192))
  (i32.const 4096))
