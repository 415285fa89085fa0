;; Asks the host for 1 MiB of random bytes for ever. The deadline must end it:
;; time in the host counts.
;; ends: train DeadlineExceeded
(func $before_training (param $args i32) (param $n_args i32)
  (local $mark i32)
  (local.set $mark (global.get $top))
  (loop $again
    (global.set $top (local.get $mark))
    (call $random_bytes (i32.const 1048576) (i32.const 128))
    (br $again)))
