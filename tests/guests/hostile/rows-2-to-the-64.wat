;; Reports 2^64 - 1 rows. Must be a fault: the rows do not agree.
;; ends: train BadOutput
(func $after_training (param $args i32) (param $n_args i32)
  (global.set $all_rows (i64.const -1)))
