;; Writes parameters and state in `predict` and `validate`. The host must answer
;; closed; otherwise it panics.
;; ends: evaluate BadOutput
(func $predict_batch
  (local $len i32)
  (call $closed)
  (local.set $len (i32.mul (global.get $rows) (i32.const 8)))
  (call $must_be (i32.const 0)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 2)
      (call $zeros (local.get $len)) (local.get $len))))
(func $validate (param $args i32) (param $n_args i32) (result i32)
  (drop (call $next))
  (call $closed)
  (call $report))
(func $closed
  (call $must_be (i32.const 1)
    (call $write (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4)))
  (call $must_be (i32.const 1)
    (call $write (i32.const 3) (i32.const 0) (i32.const 4096) (i32.const 4))))
