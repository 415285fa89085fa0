;; Says, after training, that its arguments are wrong. Ends the run; the arguments
;; had been good enough for `declare`.
;; ends: train InvalidArgument
(data $reason (i32.const 4096) "model.n_features: no")
(func $train (param $args i32) (param $n_args i32) (result i32)
  (drop (call $next))
  (call $fail_report (i32.const 1) (i32.const 4096) (i32.const 20)))
