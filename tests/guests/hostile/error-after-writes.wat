;; Writes `w` and `s`, then gives up. Neither parameters nor state may have changed.
;; ends: train GaveUp
(data $reason (i32.const 4096) "changed my mind")
(func $train (param $args i32) (param $n_args i32) (result i32)
  (drop (call $next))
  (call $step (local.get $args) (local.get $n_args))
  (call $fail_report (i32.const 5) (i32.const 4096) (i32.const 15)))
