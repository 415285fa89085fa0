;; Predicts scores in float64. The host must not take it, and the run must end as bad
;; output.
;; ends: evaluate BadOutput
(func $predict_batch
  (i64.store (i32.const 208) (i64.extend_i32_u (global.get $rows)))
  (i64.store (i32.const 216) (i64.const 1))
  (call $predictions_emit (global.get $index) (i32.const 9) (i32.const 208) (i32.const 2)
    (call $zeros (i32.mul (global.get $rows) (i32.const 8))) (i32.mul (global.get $rows) (i32.const 8)) (i32.const 128))
  (call $must_be (i32.const 1) (i32.load8_u (i32.const 128)))
  (call $must_be (i32.const 7) (i32.load8_u (i32.const 129))))
