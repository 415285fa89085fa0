;; Returns a good report from `train` and then computes for ever in its post-return
;; function. The deadline must end it, and nothing of the round may remain.
;; ends: train DeadlineExceeded
(func $post_train (param $result i32)
  (loop $again (br $again)))
