;; Tells the host to put batches over the place where the host puts its answers, in
;; the middle of `train`. Harms itself alone: it panics or crashes.
;; ends: train BadOutput
(global $is_evil (mut i32) (i32.const 0))
(func $before_training (param $args i32) (param $n_args i32)
  (global.set $is_evil (i32.const 1)))
(func $step (param $args i32) (param $n_args i32)
  unreachable)
(func $realloc (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (local $at i32)
  (if (global.get $is_evil) (then (return (i32.const 128))))
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
  (global.set $top (i32.add (local.get $at) (local.get $len)))
  (call $reserve (global.get $top))
  (local.get $at))
