;; Writes to the log for ever. Only the first 1,000 lines may pass, and the deadline must
;; end it.
;; ends: train LimitExceeded | train DeadlineExceeded
(func $before_training (param $args i32) (param $n_args i32)
  (loop $again
    (call $monitor_log (i32.const 1) (i32.const 1080) (i32.const 8))
    (br $again)))
