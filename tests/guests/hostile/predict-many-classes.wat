;; Predicts 30,000 classes where there are two. Tolerated: it scores badly.
;; ends: nowhere
(func $predict_batch
  (local $at i32)
  (local.set $at (call $zeros (i32.mul (global.get $rows) (i32.const 120000))))
  (call $must_be (i32.const 0)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 30000)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 120000)))))
