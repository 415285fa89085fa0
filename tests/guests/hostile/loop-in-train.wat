;; Computes for ever in `train`. The deadline must end it.
;; ends: train DeadlineExceeded
(func $before_training (param $args i32) (param $n_args i32)
  (loop $again (br $again)))
