;; Computes for ever in the start function, before any export is called. The
;; deadline of pure calls must end it, in `describe`.
;; ends: describe DeadlineExceeded
(start $start)
(func $start
  (loop $again (br $again)))
