;; Takes only the first batch in `predict`. Must be a fault if there is more than one
;; (`test_batch_size = 10`): a plan may not choose its rows.
;; ends: evaluate BadOutput
(func $predict (param $args i32) (param $n_args i32) (result i32)
  (drop (call $next))
  (call $predict_batch)
  (call $done))
