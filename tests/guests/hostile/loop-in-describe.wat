;; Computes for ever in `describe`. The deadline of pure calls must end it.
;; ends: describe DeadlineExceeded
(func $name (param $at i32)
  (loop $again (br $again)))
