;; Traps with `unreachable`, without a line. Must be a panic without a message.
;; ends: train Panicked
(func $before_training (param $args i32) (param $n_args i32)
  unreachable)
