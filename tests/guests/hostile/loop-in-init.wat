;; Computes for ever in `init`. The deadline must end it.
;; ends: init DeadlineExceeded
(func $init (param $args i32) (param $n_args i32) (result i32)
  (loop $again (br $again))
  unreachable)
