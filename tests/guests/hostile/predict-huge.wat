;; Predicts 20 MiB for a batch of 113 rows, more than may cross at once. The host must
;; answer too-large, and the run must end as bad output.
;; ends: evaluate Panicked
(func $predict_batch
  (local $at i32)
  (local.set $at (call $zeros (i32.mul (global.get $rows) (i32.const 185560))))
  (call $must_be (i32.const 6)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 46390)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 185560)))))
