;; Predicts batches that it was not given. The host must answer mismatch; otherwise it
;; panics.
;; ends: nowhere
(func $predict_batch
  (local $at i32)
  (local.set $at (call $zeros (i32.mul (global.get $rows) (i32.const 8))))
  (call $must_be (i32.const 0)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 2)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 8))))
  (call $unknown (i64.add (global.get $index) (i64.const 1)) (local.get $at))
  (call $unknown (i64.const 0x100000000) (local.get $at))
  (call $unknown (i64.const -1) (local.get $at)))
(func $unknown (param $index i64) (param $at i32)
  (call $must_be (i32.const 8)
    (call $emit (local.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 2)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 8)))))
