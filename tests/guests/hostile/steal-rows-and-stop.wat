;; Takes the first batch alone, and reports all the 4,560 rows of ten epochs. Must be a
;; fault: the rows do not agree.
;; ends: train BadOutput
(func $train (param $args i32) (param $n_args i32) (result i32)
  (drop (call $next))
  (call $step (local.get $args) (local.get $n_args))
  (global.set $all_rows (i64.const 4560))
  (global.set $steps (i64.const 150))
  (call $report))
