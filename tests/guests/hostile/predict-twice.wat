;; Predicts every batch twice. The host must answer mismatch the second time, and keep
;; the first; otherwise it panics.
;; ends: nowhere
(func $predict_batch
  (local $at i32)
  (local.set $at (call $zeros (i32.mul (global.get $rows) (i32.const 8))))
  (call $must_be (i32.const 0)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 2)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 8))))
  (f32.store (i32.add (local.get $at) (i32.const 4)) (f32.const 9))
  (call $must_be (i32.const 8)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 2)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 8)))))
