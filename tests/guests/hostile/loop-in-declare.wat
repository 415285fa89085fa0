;; Computes for ever in `declare`. The deadline of pure calls must end it.
;; ends: declare DeadlineExceeded
(func $inputs (param $at i32)
  (loop $again (br $again)))
