;; Predicts scores whose shape has 2^62 columns, so that their bytes are 0 in 64 bits, and
;; no data. The host must not take it, and the run must end as bad output.
;; ends: evaluate BadOutput
(func $predict_batch
  (local $at i32)
  (local.set $at (call $zeros (i32.mul (global.get $rows) (i32.const 8))))
  (call $must_be (i32.const 8)
    (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 4611686018427387904)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 0)))))
