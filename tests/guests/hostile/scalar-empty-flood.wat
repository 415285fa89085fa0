;; Reports no scalars at all, for ever. The host must count that, too, and the deadline
;; must end it.
;; ends: train LimitExceeded | train DeadlineExceeded
(func $step (param $args i32) (param $n_args i32)
  (loop $again
    (call $monitor_scalars (i32.const 0) (i32.const 0) (i32.const 128))
    (br $again)))
