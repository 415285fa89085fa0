;; Logs a line of 16 MiB, ten times. Must be cut. Tolerated otherwise.
;; ends: nowhere
(func $before_training (param $args i32) (param $n_args i32)
  (local $at i32)
  (local $n i32)
  (local.set $at (call $zeros (i32.const 16777216)))
  (memory.fill (local.get $at) (i32.const 65) (i32.const 16777216))
  (loop $again
    (call $monitor_log (i32.const 3) (local.get $at) (i32.const 16777216))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $n) (i32.const 10)))))
