;; Computes for ever in `validate`. The deadline must end it.
;; ends: evaluate DeadlineExceeded
(func $validate (param $args i32) (param $n_args i32) (result i32)
  (loop $again (br $again))
  unreachable)
