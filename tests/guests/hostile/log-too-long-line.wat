;; Logs a line of 40 MiB, more than the host takes at once at all. Must crash.
;; ends: train LimitExceeded
(func $before_training (param $args i32) (param $n_args i32)
  (local $at i32)
  (local.set $at (call $zeros (i32.const 41943040)))
  (memory.fill (local.get $at) (i32.const 65) (i32.const 41943040))
  (call $monitor_log (i32.const 3) (local.get $at) (i32.const 41943040)))
