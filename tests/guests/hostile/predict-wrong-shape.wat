;; Predicts one row less than the batch has. The host must not take it, and the run must
;; end as bad output.
;; ends: evaluate BadOutput
(func $predict_batch
  (call $must_be (i32.const 8)
    (call $emit (global.get $index) (i64.extend_i32_u (i32.sub (global.get $rows) (i32.const 1))) (i64.const 2)
      (call $zeros (i32.mul (global.get $rows) (i32.const 8)))
      (i32.mul (i32.sub (global.get $rows) (i32.const 1)) (i32.const 8)))))
