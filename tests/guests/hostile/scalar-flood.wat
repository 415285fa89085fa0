;; Reports scalars for ever. The host must drop what is above its bound, and the deadline
;; must end it.
;; ends: train LimitExceeded | train DeadlineExceeded
(func $step (param $args i32) (param $n_args i32)
  (loop $again
    (call $scalars)
    (br $again)))
