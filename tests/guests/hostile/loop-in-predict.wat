;; Computes for ever in `predict`, with the first batch in its hands. The
;; deadline must end it.
;; ends: evaluate DeadlineExceeded
(func $predict_batch
  (loop $again (br $again)))
