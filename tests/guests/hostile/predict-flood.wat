;; Predicts 16 MiB for the same batch again and again, until the host has enough. The host
;; must answer mismatch or exhausted, and keep the first.
;; ends: evaluate DeadlineExceeded | evaluate LimitExceeded
(func $predict_batch
  (local $at i32)
  (local $n i32)
  (local.set $at (call $zeros (i32.mul (global.get $rows) (i32.const 120000))))
  (drop (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 30000)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 120000))))
  (loop $again
    (call $must_not_be_0
      (call $emit (global.get $index) (i64.extend_i32_u (global.get $rows)) (i64.const 30000)
      (local.get $at) (i32.mul (global.get $rows) (i32.const 120000))))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 1000000)))))
(func $must_not_be_0 (param $answer i32)
  (if (i32.eqz (local.get $answer)) (then unreachable)))
