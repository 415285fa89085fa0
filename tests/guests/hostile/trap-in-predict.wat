;; Traps in `predict`. Must be a panic.
;; ends: evaluate Panicked
(func $predict_batch
  unreachable)
