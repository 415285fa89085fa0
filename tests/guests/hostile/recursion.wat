;; Recurses without end. Must exhaust its own stack, not that of the host.
;; ends: train StackExhausted
(func $before_training (param $args i32) (param $n_args i32)
  (drop (call $recurse (i64.const 0))))
(func $recurse (param $n i64) (result i64)
  (i64.add (local.get $n) (call $recurse (i64.add (local.get $n) (i64.const 1)))))
