;; Gives up with a reason of 16 MiB. Must be cut.
;; ends: train GaveUp
(func $train (param $args i32) (param $n_args i32) (result i32)
  (local $at i32)
  (local.set $at (call $zeros (i32.const 16777216)))
  (memory.fill (local.get $at) (i32.const 65) (i32.const 16777216))
  (call $fail_report (i32.const 5) (local.get $at) (i32.const 16777216)))
