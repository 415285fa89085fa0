;; Returns from `describe` and then computes for ever in its post-return function.
;; The deadline of pure calls must end it: a call ends with post-return.
;; ends: describe DeadlineExceeded
(func $post_describe (param $result i32)
  (loop $again (br $again)))
