;; Takes the first batch alone, and reports just its rows. Tolerated: who trains on
;; less hurts the result, not the host. But it must be seen that it did not take all.
;; ends: nowhere
(func $train (param $args i32) (param $n_args i32) (result i32)
  (drop (call $next))
  (call $step (local.get $args) (local.get $n_args))
  (global.set $steps (i64.const 1))
  (call $report))
