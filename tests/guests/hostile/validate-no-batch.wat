;; Takes no batch in `validate` and reports 113 rows with the best of losses. Must be a
;; fault: the rows do not agree.
;; ends: evaluate BadOutput
(func $validate (param $args i32) (param $n_args i32) (result i32)
  (global.set $all_rows (i64.const 113))
  (call $report))
